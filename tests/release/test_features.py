"""Features: what is measured of a sample, and that each night is measured once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.release.nights_of_samples import DATES, assembly, planned, publish_samples, sample, samples
from tests.stages.nights import files, writes_nothing

from ultralink.errors import PartitionChanged, PartMissing, SchemaMismatch
from ultralink.pool.recipe import NearDuplicateRules
from ultralink.release.features import measured, signature, text_key
from ultralink.release.plan import SourcePart
from ultralink.release.recipe import ReleaseRecipe
from ultralink.release.words import normalised
from ultralink.schemas import FEATURES, SAMPLES
from ultralink.stages.assembly import Assembly
from ultralink.stages.release_features import measure_samples, measured_parts
from ultralink.store import Part, Row, Store
from ultralink.tokens import count_tokens

ROOT = Path(__file__).parents[2]
CHAT = [("system", "Be kind."), ("user", "Why 3 + 4?"), ("assistant", "So."), ("user", "And?"), ("assistant", "No.")]


def measure(run: Assembly) -> list[str]:
    return [measure_samples(run, shard).line for shard in range(run.shards)]


def rows_of(run: Assembly) -> list[dict[str, object]]:
    return [row for part in measured_parts(run) for row in part.rows()]


def features(store: Store, rows: Sequence[Row], language: str = "en") -> list[dict[str, object]]:
    publish_samples(store, language, DATES[0], rows)
    run = planned(store, languages=(language,), shards=1)
    measure(run)
    return rows_of(run)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(str(tmp_path / "store"))


# --- what is measured -------------------------------------------------------------------------------


def test_of_a_chat_about_an_article(store: Store) -> None:
    row = sample("zh", messages=CHAT, page=7, revision=70, passage=(1200, 2400), scores={"grounded": 0.5})
    (found,) = features(store, [row], "zh")
    source = cast(dict[str, object], row["source"])
    assert (found["row"], found["id"], found["subset"]) == (0, row["id"], "chat_specific")
    assert found["turns"] == 2
    assert found["question_tokens"] == count_tokens("Why 3 + 4?") + count_tokens("And?")
    assert found["answer_tokens"] == count_tokens("So.") + count_tokens("No.")
    assert found["origin"] == "article:zh:7"
    assert (found["revision_id"], found["passage_start"], found["passage_end"]) == (70, 1200, 2400)
    assert found["scores"] == [("grounded", 0.5)]
    for name in ("title", "url", "licence", "categories"):
        assert found[name] == source[name]
    assert found["model"] == cast(dict[str, object], row["teacher"])["model"]


def test_of_an_english_row(store: Store) -> None:
    (found,) = features(store, [sample("en", "math", dataset="metamath", row_id="m-1")])
    assert found["origin"] == "row:metamath:m-1"
    assert (found["revision_id"], found["title"], found["categories"], found["model"]) == (None, None, None, None)


def test_the_figures_of_a_sum_are_those_that_are_asked_with(store: Store) -> None:
    said = [("user", "Is 1,000 + 2.5 + ３ + 3 more than 1000?"), ("assistant", "By 8.5.")]
    sums = features(store, [sample("en", "math", messages=said), sample("en", "code", messages=said)])
    assert [each["figures"] for each in sums] == ["1000 1000 2.5 3 3", None]


def test_rows_are_those_of_the_night_in_order(store: Store) -> None:
    rows = samples("zh", DATES[0], 150)
    found = features(store, rows, "zh")
    assert [row["row"] for row in found] == list(range(600))
    assert [row["id"] for row in found] == [row["id"] for row in rows]


def test_equal_but_for_width_case_and_space(store: Store) -> None:
    one, other, split = (
        features(store, [sample(messages=[("user", question), ("assistant", answer)])])[0]
        for question, answer in [("What is  it?", "So."), ("ＷHAT is\nit? ", " so."), ("What is it? So", ".")]
    )
    assert one["text_key"] == other["text_key"] != split["text_key"]


def test_the_signature_estimates_the_similarity() -> None:
    words = [f"w{number}" for number in range(400)]
    changed = [*words[:340], *(f"new{number}" for number in range(60))]
    shingles = [{tuple(each[start : start + 3]) for start in range(398)} for each in (words, changed)]
    true = len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])
    one, other = (np.frombuffer(signature(" ".join(each), 3), "<u2") for each in (words, changed))
    assert len(one) == 120
    assert abs(np.mean(one == other) - true) < 0.12


@pytest.mark.parametrize(
    ("text", "size"), [("", 0), ("hi ho", 0), ("你好", 0), ("?! ...", 0), ("a b c", 240), ("你好吗", 240)]
)
def test_texts_shorter_than_an_n_gram_have_no_signature(text: str, size: int) -> None:
    assert len(signature(normalised(text), 3)) == size


def test_keys_and_signatures_are_the_same_in_every_process() -> None:
    code = (
        "from ultralink.release.features import *; import hashlib;"
        "print(text_key('a  b').hex(), hashlib.md5(signature('a b c d e', 3)).hexdigest())"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "include")}
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={**environment, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert text_key("a  b").hex() in said.pop().decode()


# --- once per night ---------------------------------------------------------------------------------


@pytest.fixture
def nights(store: Store) -> Store:
    for date in DATES[:2]:
        for language in ("en", "zh"):
            publish_samples(store, language, date, samples(language, date, 2, first=10 * int(date[-1])))
    return store


def test_a_second_call_does_nothing(nights: Store) -> None:
    run = planned(nights)
    assert sum(len(run.plan.shares(2)[shard]) for shard in range(2)) == 4
    assert [line.split(" measured")[0] for line in measure(run)] == ["16 rows of 2 nights", "16 rows of 2 nights"]
    lines = writes_nothing(Path(nights.root), lambda: measure(run))
    assert lines == ["Nothing to do: all 2 nights are measured"] * 2


def test_the_next_release_measures_new_nights_only(nights: Store) -> None:
    measure(planned(nights))
    publish_samples(nights, "en", DATES[2], samples("en", DATES[2], 1, first=30))
    before = files(Path(nights.root) / "features")
    later = planned(nights, run_id="manual__2", shards=1)
    assert measure(later) == ["4 rows of 1 nights measured, 4 nights are up to date"]
    after = files(Path(nights.root) / "features")
    assert after.items() > before.items()
    assert len(after) == len(before) + 1


def test_a_changed_night_is_measured_again_alone(nights: Store) -> None:
    measure(planned(nights))
    publish_samples(nights, "zh", DATES[0], samples("zh", DATES[0], 3))
    before = files(Path(nights.root) / "features")
    assert measure(planned(nights, run_id="manual__2", shards=1))[0].startswith("12 rows of 1 nights measured")
    after = files(Path(nights.root) / "features")
    assert {path for path in after if after[path] != before[path]} == {f"zh/{DATES[0]}/00000.parquet"}


def test_other_n_grams_are_measured_again(nights: Store) -> None:
    measure(planned(nights))
    recipe = ReleaseRecipe(near_duplicates=NearDuplicateRules(shingle_words=4))
    assert measure(planned(nights, recipe=recipe, run_id="manual__2"))[0].startswith("16 rows of 2 nights measured")
    threshold = ReleaseRecipe(near_duplicates=NearDuplicateRules(shingle_words=4, threshold=0.9))
    assert measure(planned(nights, recipe=threshold, run_id="manual__3"))[0].startswith("Nothing to do")


def test_rebuild(nights: Store) -> None:
    measure(planned(nights))
    before = rows_of(planned(nights))
    run = replace(planned(nights), rebuild=True)
    assert measure(run)[0].startswith("16 rows of 2 nights measured, 0")
    assert rows_of(run) == before


def test_a_retry_goes_on_where_the_task_stopped(nights: Store) -> None:
    run = planned(nights, shards=1)
    measure(run)
    lost = measured_parts(run)[2]
    nights.fs.rm_file(lost.path)
    assert measure(replace(run, attempt=2)) == ["8 rows of 1 nights measured, 3 nights are up to date"]


def test_a_person_who_clears_the_task_has_it_done_again(nights: Store) -> None:
    run = planned(nights, shards=1)
    measure(run)
    assert measure(replace(run, attempt=2))[0].startswith("32 rows of 4 nights measured")


def test_features_of_another_version_or_damaged_are_made_again(nights: Store) -> None:
    run = planned(nights, shards=1)
    measure(run)
    old, damaged = measured_parts(run)[:2]
    replace(old, stage=replace(FEATURES, version=FEATURES.version + 1)).write(old.rows(), "other")
    Path(damaged.path).write_bytes(Path(damaged.path).read_bytes()[:100])
    assert measure(run) == ["16 rows of 2 nights measured, 2 nights are up to date"]


def test_a_killed_writer_leaves_nothing(nights: Store) -> None:
    run = planned(nights, shards=1)
    code = f"""
import os, signal
from tests.release.nights_of_samples import assembly
from ultralink.release import features
from ultralink.stages import release_features
real = release_features.measured
def dies(*arguments):
    for number, row in enumerate(real(*arguments)):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield row
release_features.measured = dies
release_features.measure_samples(assembly({nights.root!r}, shards=1), 0)
"""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'include'}:{ROOT}"}
    killed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert nights.dates(FEATURES, "en") == nights.dates(FEATURES, "zh") == []
    with pytest.raises(PartMissing, match="'measure'"):
        measured_parts(run)
    assert measure(run)[0].startswith("32 rows of 4 nights measured")


def test_on_another_file_system() -> None:
    store = Store.at(f"memory://features-{os.getpid()}")
    found = features(store, samples("zh", DATES[0], 2), "zh")
    assert len(found) == 8


# --- bad input --------------------------------------------------------------------------------------


def test_a_night_that_changed_since_the_plan(nights: Store) -> None:
    run = planned(nights)
    part = publish_samples(nights, "zh", DATES[1], samples("zh", DATES[1], 3))
    with pytest.raises(PartitionChanged, match="start a new run") as raised:
        measure(run)
    assert part.path in str(raised.value)
    assert nights.dates(FEATURES, "zh") in ([], [DATES[0]])


def test_a_night_that_changes_while_it_is_read(nights: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def changes(samples_of_night: Part, source: SourcePart, shingle_words: int) -> Iterator[Row]:
        publish_samples(nights, "en", DATES[0], samples("en", DATES[0], 1))
        yield from measured(samples_of_night, source, shingle_words)

    run = planned(nights, languages=("en",), until=DATES[0], shards=1)
    monkeypatch.setattr("ultralink.stages.release_features.measured", changes)
    with pytest.raises(PartitionChanged):
        measure(run)
    assert nights.dates(FEATURES, "en") == []


def test_a_night_that_is_gone(nights: Store) -> None:
    run = planned(nights)
    nights.fs.rm_file(nights.part(SAMPLES, "zh", DATES[1]).path)
    with pytest.raises(PartMissing, match=f"zh/{DATES[1]}"):
        measure(run)


def test_features_of_a_plan_of_other_samples(nights: Store) -> None:
    run = planned(nights)
    measure(run)
    publish_samples(nights, "zh", DATES[0], samples("zh", DATES[0], 3))
    measure(planned(nights, run_id="manual__2"))
    with pytest.raises(PartMissing, match="'measure' of this run again"):
        measured_parts(assembly(nights))


def test_samples_of_another_schema_version(store: Store) -> None:
    rows = samples("en", DATES[0], 1)
    publish_samples(store, "en", DATES[0], rows)
    run = planned(store, languages=("en",))
    old = replace(SAMPLES, version=1)
    path = store.part(old, "en", DATES[0]).path
    store.part(old, "en", DATES[0]).write(rows, "samples")
    with pytest.raises(SchemaMismatch, match="version 1") as raised:
        measure(run)
    assert path in str(raised.value)


@pytest.mark.parametrize("column", ["messages", "scores", "source"])
def test_samples_with_other_columns(store: Store, column: str) -> None:
    part = publish_samples(store, "en", DATES[0], samples("en", DATES[0], 1))
    table = pq.read_table(part.path)
    at = table.schema.get_field_index(column)
    other = table.set_column(at, column, pa.array(["?"] * len(table)))
    stamp = {key: value for key, value in pq.read_metadata(part.path).metadata.items() if key.startswith(b"ultralink")}
    pq.write_table(other.replace_schema_metadata(stamp), part.path)
    with pytest.raises(SchemaMismatch, match=f"column '{column}'") as raised:
        measure(planned(store, languages=("en",)))
    assert part.path in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"language": "fr"}, "language is 'fr' in a night of 'en'"),
        ({"subset": "poems"}, "subset is 'poems'"),
        ({"source": {"kind": "book"}}, "source.kind is 'book'"),
        ({"source": {"page_id": None}}, "source.page_id is null"),
        ({"source": {"kind": "english", "dataset": "d", "row_id": None}}, "source.row_id is null"),
    ],
)
def test_a_row_that_cannot_be(store: Store, changes: dict[str, object], said: str) -> None:
    good, bad = sample(number=1), sample(number=2)
    source = {**cast(dict[str, object], bad["source"]), **cast(dict[str, object], changes.get("source", {}))}
    part = publish_samples(store, "en", DATES[0], [good])
    part.write([good, {**bad, **changes, "source": source}], "samples")
    with pytest.raises(SchemaMismatch, match=said) as raised:
        measure(planned(store, languages=("en",)))
    assert part.path in str(raised.value)
    assert f"row 1 ({bad['id']!r})" in str(raised.value)

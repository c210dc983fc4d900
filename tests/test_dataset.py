"""Reading releases and nights: chosen, counted, streamed, shown; from disk and memory; and the guide's own words."""

from __future__ import annotations

import re
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.release.nights_of_samples import DATES, publish_samples, sample, samples
from tests.release.small_release import small_release
from tests.stages.nights import as_before

from ultralink.dataset import Evidence, Message, Sample, Samples, dialogue, open_partition, open_rejects, open_release
from ultralink.dataset import rows as dataset_rows
from ultralink.errors import PartMissing, ReleaseMissing, SchemaMismatch
from ultralink.release.recipe import SUBSETS
from ultralink.schemas import EVIDENCE, REJECTS, SAMPLES
from ultralink.store import Row, Store

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "reading.md"
NIGHT = DATES[0]
FIRST, SECOND = "2026.11.01", "2026.11.02"


def rows_of(*languages: str, each: int = 5) -> list[Row]:
    return [row for language in languages for row in samples(language, NIGHT, each)]


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "disk":
        return Store.at(str(tmp_path / "store"))
    return Store.at(f"memory:/{tmp_path}")


@pytest.fixture(params=["release", "night"])
def zh(request: pytest.FixtureRequest, store: Store) -> Samples:
    """Twenty Chinese samples, from a release or from the night itself."""
    if request.param == "release":
        small_release(store, rows=rows_of("zh"), rows_per_file=2)
        return open_release(store)
    publish_samples(store, "zh", NIGHT, rows_of("zh"))
    return open_partition(store, "zh", NIGHT)


# --- both --------------------------------------------------------------------------------------------


def test_samples_are_what_was_written(zh: Samples) -> None:
    written = {str(row["id"]): row for row in rows_of("zh")}
    assert zh.count() == len(list(zh)) == 20
    for found in zh:
        row = written[found.id]
        assert isinstance(found, Sample)
        assert [(one.role, one.content) for one in found.messages] == [
            (one["role"], one["content"])
            for one in row["messages"]  # type: ignore[attr-defined]
        ]
        assert found.source.model_dump(mode="python")["title"] == row["source"]["title"]  # type: ignore[index]
        assert found.source.url == row["source"]["url"]  # type: ignore[index]
        assert found.scores == row["scores"]
        assert (found.licence, found.date, found.created) == (found.source.licence, NIGHT, row["created"])
        assert found.teacher is not None
        assert found.teacher.cost_usd == 0.002


def test_all_ways_give_the_same_rows_and_columns(zh: Samples) -> None:
    chosen = zh.where(subset=["chat_specific", "math"])
    ids = [one.id for one in chosen]
    table = chosen.to_arrow()
    assert table.column_names == [
        *("id", "language", "subset", "split", "messages", "source"),
        *("teacher", "scores", "licence", "date", "created", "evidence"),
    ]
    assert pa.types.is_struct(table.schema.field("scores").type)
    assert table["id"].to_pylist() == ids
    assert list(chosen.to_pandas()["id"]) == ids
    assert chosen.to_polars()["id"].to_list() == ids
    assert [one for batch in chosen.batches(["id"], size=3) for one in batch["id"].to_pylist()] == ids
    assert all(0 < batch.num_rows <= 3 for batch in chosen.batches(size=3))
    assert len(chosen.to_polars(["id", "scores"]).columns) == 2


def test_evidence_is_kept_in_nights_and_left_out_of_releases(store: Store) -> None:
    found = [{"answer": 1, "grounded": True, "quote": "«it was opened»"}, {"answer": 2, "grounded": False, "quote": ""}]
    rows = rows_of("zh", each=1)
    judged = [{**row, "evidence": found} if row["subset"] == "chat_specific" else row for row in rows]
    publish_samples(store, "zh", NIGHT, judged)
    night = open_partition(store, "zh", NIGHT)
    kept = {one.subset: one.evidence for one in night}
    assert kept.pop("chat_specific") == tuple(Evidence.model_validate(each) for each in found)
    assert set(kept.values()) == {None}
    assert night.where(subset="chat_specific").to_arrow(["evidence"]).to_pylist() == [{"evidence": found}]
    small_release(store, rows=judged)
    release = open_release(store)
    assert [one.evidence for one in release] == [None] * len(rows)
    assert release.to_arrow(["evidence"])["evidence"].null_count == len(rows)
    data = [path for path in store.fs.find(store.folder("releases")) if path.endswith(".parquet") and "/data/" in path]
    assert data
    for path in data:
        with store.fs.open(path, "rb") as file:
            assert "evidence" not in pq.read_schema(file).names


def test_a_night_from_before_evidence_was_kept_is_read_alike(store: Store) -> None:
    publish_samples(store, "zh", NIGHT, rows_of("zh", each=1))
    as_before(store.part(SAMPLES, "zh", NIGHT))
    night = open_partition(store, "zh", NIGHT)
    assert [one.evidence for one in night] == [None] * 4
    assert night.to_pandas().shape == (4, 12)
    assert open_partition(store, "zh", NIGHT).to_arrow().schema.field("evidence").type == EVIDENCE.type


def test_by_subset_and_score(zh: Samples) -> None:
    scored = zh.where(subset="chat_specific", min_scores={"grounded": 0.52})
    assert {one.scores["grounded"] for one in scored} == {0.52, 0.53, 0.54}
    assert scored.count() == 3
    assert zh.where(min_scores={"grounded": 0.52}).where(subset="chat_specific").count() == 3
    assert zh.count() == 20  # as it was
    assert zh.subsets == SUBSETS
    assert zh.score_names == ("grounded", "language")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"language": "zz"}, r"language: .* has no 'zz'; there are zh"),
        ({"subset": "maths"}, r"subset: .* has no 'maths'; there are chat_specific, chat_agnostic, math, code"),
        ({"subset": ["math", "cod"]}, r"subset: .* has no 'cod'"),
        ({"split": "test"}, r"split: .* has no 'test'"),
        ({"min_scores": {"ground": 0.5}}, r"min_scores: .* has no 'ground'; there are grounded, language"),
    ],
)
def test_a_name_that_is_not_there(zh: Samples, asked: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        zh.where(**asked)  # type: ignore[arg-type]


def test_a_column_that_is_not_there(zh: Samples) -> None:
    with pytest.raises(ValueError, match=r"columns: .* has no 'text'; there are id, language"):
        zh.to_arrow(["text"])
    with pytest.raises(ValueError, match=r"must be a list, such as \['id'\]"):
        zh.to_pandas("id")


def test_without_polars(zh: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match="pip install polars"):
        zh.to_polars()


def test_they_say_what_they_are(zh: Samples) -> None:
    said = repr(zh.where(subset="math", min_scores={"grounded": 0.5}))
    assert said.startswith("<Samples of ")
    assert "where subset is math and grounded >= 0.5" in said


@given(st.sets(st.sampled_from(SUBSETS), min_size=1), st.floats(0.49, 0.56), st.sampled_from(["fr", "zh", None]))
def test_choosing_is_filtering(subsets: set[str], least: float, language: str | None) -> None:
    data, every = released()
    chosen = data.where(subset=sorted(subsets), language=language, min_scores={"grounded": least})
    expected = [
        one.id
        for one in every
        if one.subset in subsets and one.scores["grounded"] >= least and language in (None, one.language)
    ]
    assert [one.id for one in chosen] == expected
    assert chosen.count() == len(expected)


@cache
def released() -> tuple[Samples, list[Sample]]:
    """A release, and all of its samples."""
    small_release(Store.at("memory://reading-property"))
    data = open_release("memory://reading-property")
    return data, list(data)


# --- releases ----------------------------------------------------------------------------------------


def test_the_newest_a_certain_one_and_a_folder(store: Store) -> None:
    small_release(store, FIRST, rows_of("zh"))
    small_release(store, SECOND, rows_of("zh", "fr"))
    assert open_release(store).count() == 40
    assert open_release(store, "latest").count() == 40
    assert open_release(store, FIRST).count() == 20
    assert open_release(store.below(f"releases/{FIRST}")).count() == 20
    assert open_release(store, FIRST).languages == ("zh",)


def test_by_url_and_path(tmp_path: Path) -> None:
    small_release(Store.at("memory://reading-url"))
    assert open_release("memory://reading-url").count() == 40
    small_release(Store.at(str(tmp_path)))
    assert open_release(tmp_path).count() == open_release(str(tmp_path)).count() == 40


def test_splits(store: Store) -> None:
    small_release(store)
    data = open_release(store)
    train, validation = data.where(split="train"), data.where(split="validation")
    assert (train.count(), validation.count()) == (32, 8)
    assert {one.split for one in validation} == {"validation"}
    assert set(data.to_arrow()["split"].to_pylist()) == {"train", "validation"}
    assert data.where(split=["train", "validation"]).count() == 40


def test_other_files_are_not_opened(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    small_release(store)
    data = open_release(store)
    for path in tmp_path.glob("releases/*/data/zh_*/*"):
        path.write_bytes(b"broken")
    french = data.where(language="fr")
    assert french.count() == len(list(french)) == 20
    with pytest.raises(pa.ArrowInvalid):
        data.where(language="zh").to_arrow()


def test_no_such_release(store: Store) -> None:
    with pytest.raises(ReleaseMissing, match="no release in"):
        open_release(store)
    small_release(store, FIRST)
    small_release(store, SECOND)
    with pytest.raises(ReleaseMissing, match=rf"'2027\.01\.01'.*{FIRST}, {SECOND}"):
        open_release(store, "2027.01.01")


def test_a_folder_with_something_else(tmp_path: Path) -> None:
    (tmp_path / "release.json").write_text('{"version": 3}')
    with pytest.raises(ReleaseMissing, match=r"release\.json: is of no release: version"):
        open_release(tmp_path)


def test_a_release_without_data(store: Store) -> None:
    small_release(store, rows=[])
    with pytest.raises(ReleaseMissing, match="has no data files"):
        open_release(store)


# --- nights --------------------------------------------------------------------------------------------


def test_a_night_has_no_splits(store: Store) -> None:
    publish_samples(store, "zh", NIGHT, rows_of("zh"))
    night = open_partition(store, "zh", NIGHT)
    assert night.to_arrow()["split"].null_count == 20
    assert next(iter(night)).split is None
    with pytest.raises(ValueError, match="has no 'train'; it has none"):
        night.where(split="train")


def test_a_night_of_english_rows_without_scores(store: Store) -> None:
    plain = [sample("en", "math", number, scores={}) for number in range(3)]
    publish_samples(store, "en", NIGHT, plain)
    night = open_partition(store, "en", NIGHT)
    assert [(one.scores, one.teacher) for one in night] == [({}, None)] * 3
    assert night.to_arrow().num_rows == len(night.to_pandas()) == len(night.to_polars()) == 3
    assert "none: taken as it is" in str(next(iter(night)))
    with pytest.raises(ValueError, match="has no 'grounded'; it has none"):
        night.where(min_scores={"grounded": 0.5})


def test_a_missing_score_is_below_every_minimum(store: Store) -> None:
    scored = [sample("zh", "math", number, scores={"grounded": 0.9} if number else {}) for number in range(3)]
    publish_samples(store, "zh", NIGHT, scored)
    assert open_partition(store, "zh", NIGHT).where(min_scores={"grounded": -1}).count() == 2


def test_no_such_night(store: Store) -> None:
    with pytest.raises(PartMissing, match="no samples of such a night; the store has none at all"):
        open_partition(store, "zh", NIGHT)
    for date in DATES[:2]:
        publish_samples(store, "zh", date, rows_of("zh", each=1))
    with pytest.raises(PartMissing, match="zh has 2026-11-01, 2026-11-02"):
        open_partition(store, "zh", "2026-12-24")
    with pytest.raises(PartMissing, match="nothing of 'fr', but of zh"):
        open_partition(store, "fr", NIGHT)


def test_a_night_of_another_schema(store: Store) -> None:
    publish_samples(store, "zh", NIGHT, rows_of("zh", each=1))
    store.fs.copy(store.part(REJECTS, "zh", NIGHT).path, store.folder("samples", "zh", NIGHT, "00000.parquet"))
    with pytest.raises(SchemaMismatch):
        open_partition(store, "zh", NIGHT)


def test_rejects(store: Store) -> None:
    publish_samples(store, "zh", NIGHT, rows_of("zh", each=1))
    store.fs.makedirs(store.folder("rejects", "fr"), exist_ok=True)  # nobody knows why, and nothing is in it
    rejects = open_rejects(store, "zh", NIGHT)
    assert rejects.count() == 2
    (found,) = rejects.where(gate="numbers")
    assert (found.subset, found.stage, found.reason) == ("math", "math_rows", "numbers differ")
    assert (found.attempts, found.date) == (2, NIGHT)
    assert "rejected by numbers of math_rows: numbers differ" in str(found)
    assert rejects.where(subset="math", stage="dialogues").count() == 0
    with pytest.raises(ValueError, match=r"gate: .* has no 'length'; there are language, numbers"):
        rejects.where(gate="length")
    with pytest.raises(PartMissing, match="zh has 2026-11-01"):
        open_rejects(store, "zh", DATES[1])
    with pytest.raises(PartMissing, match=r"nothing of 'fr', but of zh$"):
        open_rejects(store, "fr", NIGHT)
    store.fs.rm(store.part(REJECTS, "zh", NIGHT).path)
    with pytest.raises(PartMissing, match="no rejects of such a night; the store has none at all"):
        open_rejects(store, "zh", NIGHT)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.at(str(tmp_path))
    text = "lantern " * 2000
    publish_samples(
        store, "zh", NIGHT, (sample("zh", "math", number, text=f"{text}{number}") for number in range(6000))
    )
    before = pa.total_allocated_bytes()
    held = 0
    for _ in open_partition(store, "zh", NIGHT).batches():
        held = max(held, pa.total_allocated_bytes() - before)
    whole = open_partition(store, "zh", NIGHT).to_arrow().nbytes
    assert whole > 90e6
    assert held < whole / 2


# --- shown ---------------------------------------------------------------------------------------------

NASTY = '</div><script>alert(1)</script> & "x" \x1b[31mred\x1b[0m \u202egnol [bold]no markup[/bold] :smile: \x00'


def nasty() -> Sample:
    row = sample("zh", "chat_specific", 1, messages=[("user", NASTY), ("assistant", NASTY)])
    row["source"] = {**row["source"], "title": NASTY, "url": 'javascript:alert("1")'}  # type: ignore[dict-item]
    return Sample.model_validate({**row, "split": None, "date": NIGHT, "licence": "CC BY-SA 4.0"})


class Page(HTMLParser):
    """What a browser would see of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.depth = 0
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.depth += 1

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_escaped() -> None:
    page = Page(nasty()._repr_html_())
    assert set(page.tags) == {"div", "strong"}  # no script, and no link to javascript:
    assert page.depth == 0
    assert page.text.count('</div><script>alert(1)</script> & "x"') == 3
    assert "\x1b" not in page.text
    assert "\x00" not in page.text
    heading = page.text.partition("user")[0]
    assert "\u202e" not in heading  # it would turn the rest of the line around
    assert "\u202e" in page.text  # in the message it is part of what was said
    assert all(not name.startswith("on") for name, _ in page.attributes)
    assert ("dir", "auto") in page.attributes
    assert ("lang", "zh") in page.attributes


def test_html_links_to_the_article() -> None:
    row = sample("zh", "chat_specific", 1)
    shown = Sample.model_validate({**row, "split": None, "date": NIGHT, "licence": "CC BY-SA 4.0"})
    page = Page(shown._repr_html_())
    assert ("href", shown.source.url) in page.attributes
    assert ("rel", "noopener noreferrer") in page.attributes


@given(st.text(), st.text(), st.text())
def test_no_text_gets_out_of_its_place(heading: str, said: str, url: str) -> None:
    page = Page(dialogue.as_html([heading], [("user", said)], "zh", url))
    assert page.depth == 0
    assert set(page.tags) <= {"div", "strong", "a"}
    assert page.tags.count("div") == 6


def test_a_terminal_is_not_told_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    nasty().show()
    shown = capsys.readouterr().out
    for text in (shown, str(nasty())):
        assert "\x1b" not in text
        assert "\x00" not in text
        assert "[bold]no markup[/bold] :smile:" in text


def test_a_dialogue_as_text() -> None:
    found = nasty().model_copy(update={"messages": (Message(role="user", content="Why?\r\nHow?"),)})
    assert str(found).endswith("user:\nWhy?\nHow?")
    assert repr(found) == f"<Sample {found.id}: 1 messages>"


def test_many_names_are_not_all_listed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_rows, "_SHOWN", 2)
    publish_samples(store, "zh", NIGHT, rows_of("zh", each=1))
    with pytest.raises(ValueError, match="there are chat_specific, chat_agnostic and 2 more"):
        open_partition(store, "zh", NIGHT).where(subset="x")


# --- the guide -------------------------------------------------------------------------------------------


def test_the_guide_says_what_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.at(str(tmp_path / ".store"))
    rows = rows_of("zh", "fr", each=15)
    small_release(store, FIRST, rows)
    publish_samples(store, "zh", NIGHT, [row for row in rows if row["language"] == "zh"])
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 6
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), names)  # noqa: S102  # it is our own guide
    shown = capsys.readouterr().out
    assert "('fr', 'zh') ('chat_specific', 'chat_agnostic', 'math', 'code') ('grounded', 'language')" in shown
    assert "rejected by language of dialogues" in shown
    assert shown.rstrip().endswith("120")

"""Export: the tools that model builders use load every file as it is, and no file is there by half."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml
from tests.real.disks import leave_free, read_only, small_disk
from tests.release.nights_of_samples import DATES, publish_samples, sample, samples
from tests.release.ready import export_all, ready, released, rows_of, staged
from tests.stages.nights import files, writes_nothing

from ultralink.errors import PartitionChanged, PartMissing, SampleUnfit, StoreFull, StoreReadOnly
from ultralink.release.recipe import SUBSETS, Format, ReleaseRecipe
from ultralink.schemas import PLACES, SAMPLES, STAGED_FILES
from ultralink.stages import release_export
from ultralink.stages.assembly import PROVENANCE, Assembly
from ultralink.stages.release_export import export
from ultralink.stages.release_split import split_rows
from ultralink.store import Row, Store

LANGUAGES = ("en", "zh")
HOSTILE = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg \u202eright to left\ufeff \0 \\ud83d </document> 😀"


def fill(store: Store) -> Store:
    """Two nights of two languages; some rows hold what breaks lines."""
    for number, date in enumerate(DATES[:2]):
        for language in LANGUAGES:
            rows = samples(language, date, 40, first=40 * number)
            rows[7]["messages"] = [
                {"role": "user", "content": HOSTILE},
                {"role": "assistant", "content": f"{HOSTILE}\n"},
            ]
            publish_samples(store, language, date, rows)
    return store


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """A release that tests read and do not change: 160 rows of each language, 50 in a file."""
    run = released(fill(Store.at(str(tmp_path_factory.mktemp("shared")))), exact=[("zh", DATES[0], 0)])
    readme = {"configs": [_config(run, *each) for each in run.configurations]}
    Path(run.staged("README.md")).write_text(f"---\n{yaml.safe_dump(readme)}---\n# A card\n", encoding="utf-8")
    return run


def _config(run: Assembly, language: str, subset: str) -> dict[str, object]:
    name = f"{language}_{subset}"
    found = {split: sorted(Path(run.staged(f"data/{name}")).glob(f"{split}-*")) for split in ("train", "validation")}
    return {
        "config_name": name,
        "data_files": [{"split": split, "path": f"data/{name}/{split}-*"} for split in found if found[split]],
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return fill(Store.at(str(tmp_path / "store")))


def in_order(run: Assembly, language: str, subset: str, split: str) -> list[Row]:
    """The rows that a configuration should have."""
    known = rows_of(run)
    return [
        known[language, str(place["date"])][int(str(place["row"]))]
        for place in run.part(PLACES, language, subset).rows()
        if place["split"] == split
    ]


def said(row: Row) -> list[str]:
    return [message["content"] for message in row["messages"]]  # type: ignore[attr-defined]


def lines(run: Assembly, path: str) -> list[dict[str, object]]:
    text = Path(run.staged(path)).read_bytes()
    assert text.endswith(b"\n")
    made = [json.loads(line) for line in text.decode().splitlines()]
    assert made == [json.loads(line) for line in text.splitlines()]
    return made


# --- what is in the files -------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "validation"])
def test_all_formats_hold_the_same_rows_in_the_same_order(shared: Assembly, split: str) -> None:
    validation = "" if split == "train" else "validation/"
    for language, subset in shared.configurations:
        name, rows = f"{language}_{subset}", in_order(shared, language, subset, split)
        assert rows
        table = pq.read_table(shared.staged(f"data/{name}"), filters=None)
        parquet = [
            row
            for file in sorted(Path(shared.staged(f"data/{name}")).glob(f"{split}-*"))
            for row in pq.read_table(file, partitioning=None).to_pylist()
        ]
        assert len(table) == len(in_order(shared, language, subset, "train")) + len(
            in_order(shared, language, subset, "validation")
        )
        assert [row["id"] for row in parquet] == [row["id"] for row in rows]
        assert [row["messages"] for row in parquet] == [row["messages"] for row in rows]
        messages = lines(shared, f"messages/{name}.{split}.jsonl")
        assert messages == [{"messages": row["messages"]} for row in rows]
        conversations = lines(shared, f"sharegpt/{name}.{split}.jsonl")
        assert [[turn["value"] for turn in line["conversations"]] for line in conversations] == list(map(said, rows))  # type: ignore[attr-defined]
        assert [line["id"] for line in conversations] == [row["id"] for row in rows]
        plain = lines(shared, f"ultralink/{validation}{name}.jsonl")
        assert [line["data"] for line in plain] == list(map(said, rows))


def test_ultralinks_numbers_name_one_row_each_and_the_same_in_both_variants(shared: Assembly) -> None:
    for language in LANGUAGES:
        name = f"{language}_chat_specific"
        for folder in ("ultralink", "ultralink_with_document"):
            train, validation = (
                lines(shared, f"{folder}/{name}.jsonl"),
                lines(shared, f"{folder}/validation/{name}.jsonl"),
            )
            numbers = [str(line["id"]) for line in (*train, *validation)]
            assert numbers == [f"{name}_{number}" for number in range(len(numbers))]


def test_the_document_stands_before_the_first_question_alone(shared: Assembly) -> None:
    rows = in_order(shared, "zh", "chat_specific", "train")
    for line, row in zip(lines(shared, "ultralink_with_document/zh_chat_specific.jsonl"), rows, strict=True):
        opening, *rest = line["data"]  # type: ignore[misc]
        first, *others = said(row)
        source = row["source"]
        assert opening == (
            f"请根据这篇文档回答我的问题。<document>{source['title']}\n\n{source['passage']}</document>{first}"  # type: ignore[index]
        )
        assert rest == others
    assert not list(Path(shared.staged("ultralink_with_document")).glob("*_math*"))


def test_files_have_so_many_rows_and_their_names_tell_how_many_there_are(store: Store) -> None:
    run = released(store, recipe=ReleaseRecipe(rows_per_file=7, validation_share=0.3))
    for language, subset in run.configurations:
        folder = Path(run.staged(f"data/{language}_{subset}"))
        counts = Counter(str(row["split"]) for row in run.part(PLACES, language, subset).rows())
        for split, rows in counts.items():
            expected = [min(7, rows - start) for start in range(0, rows, 7)]
            paths = sorted(folder.glob(f"{split}-*"))
            assert [pq.read_metadata(path).num_rows for path in paths] == expected
            total = len(expected)
            assert [path.name for path in paths] == [
                f"{split}-{number:05d}-of-{total:05d}.parquet" for number in range(total)
            ]


def test_row_groups_are_of_a_thousand_rows(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    publish_samples(store, "en", DATES[0], [sample("en", "math", number) for number in range(2300)])
    run = released(store, languages=("en",), recipe=ReleaseRecipe(rows_per_file=1500, validation_share=0))
    groups = []
    for path in sorted(Path(run.staged("data/en_math")).iterdir()):
        metadata = pq.read_metadata(path)
        groups.append([metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)])
        assert metadata.row_group(0).column(0).compression == "ZSTD"
    assert groups == [[1000, 500], [800]]


def test_the_list_of_files_is_true(shared: Assembly) -> None:
    contents = staged(shared)
    listed = {str(row["path"]): row for part in shared.staged_files()[:-1] for row in part.rows()}
    assert listed.keys() == contents.keys() - {"README.md"}
    for path, row in listed.items():
        assert row["bytes"] == len(contents[path])
        assert row["sha256"] == hashlib.sha256(contents[path]).hexdigest()
        if path.endswith(".jsonl"):
            assert row["rows"] == contents[path].count(b"\n")
            assert row["format"] == path.partition("/")[0]
        elif path.startswith("data/"):
            assert (row["format"], row["rows"]) == ("parquet", pq.read_metadata(shared.staged(path)).num_rows)


@pytest.mark.parametrize("formats", [(), (Format.MESSAGES,), (Format.ULTRALINK,), (Format.SHAREGPT,)])
def test_only_what_was_asked_for_is_written(store: Store, formats: tuple[Format, ...]) -> None:
    run = released(store, formats=formats)
    folders = {path.partition("/")[0] for path in staged(run)}
    with_document = {"ultralink_with_document"} if Format.ULTRALINK in formats else set()
    assert folders == {"data", "provenance", *formats, *with_document}


def test_a_split_or_configuration_without_rows_has_no_file(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    publish_samples(store, "en", DATES[0], [sample("en", "math", number) for number in range(3)])
    run = released(store, languages=("en",), recipe=ReleaseRecipe(validation_share=0))
    assert {path for path in staged(run) if "provenance" not in path} == {
        "data/en_math/train-00000-of-00001.parquet",
        "messages/en_math.train.jsonl",
        "sharegpt/en_math.train.jsonl",
        "sharegpt/dataset_info.json",
        "ultralink/en_math.jsonl",
    }
    stamps = [run.part(STAGED_FILES, *each).stamp() for each in run.configurations]
    assert [stamp and stamp.rows for stamp in stamps] == [0, 0, 4, 0]


# --- the tools ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_DATASETS_OFFLINE", "1")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        import datasets

        yield datasets


Load = Callable[[str], dict[str, object]]


@pytest.fixture(scope="module")
def load(shared: Assembly, datasets: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Load:
    cache = str(tmp_path_factory.mktemp("cache"))
    return lambda name: datasets.load_dataset(shared.staging, name, cache_dir=cache)  # type: ignore[no-any-return]


def test_datasets_lists_every_configuration(shared: Assembly, datasets: ModuleType) -> None:
    names = datasets.get_dataset_config_names(shared.staging)
    assert sorted(names) == sorted(f"{language}_{subset}" for language in LANGUAGES for subset in SUBSETS)


@pytest.mark.parametrize("name", [f"{language}_{subset}" for language in LANGUAGES for subset in SUBSETS])
def test_datasets_loads_a_configuration_untouched(shared: Assembly, load: Load, name: str) -> None:
    loaded = load(name)
    language, _, subset = name.partition("_")
    assert list(loaded) == ["train", "validation"]
    for split in loaded:
        rows = in_order(shared, language, subset, split)
        made = list(loaded[split])  # type: ignore[call-overload]
        assert len(made) == len(rows)
        for one, row in zip(made, rows, strict=True):
            assert {key: one[key] for key in ("id", "language", "subset", "messages", "teacher", "created")} == {
                key: row[key] for key in ("id", "language", "subset", "messages", "teacher", "created")
            }
            assert one["source"] == row["source"]
            assert one["scores"] == dict(row["scores"])  # type: ignore[call-overload]
            assert one["licence"] == row["source"]["licence"]  # type: ignore[index]
            assert one["date"] in DATES


def test_datasets_joins_all_configurations(load: Load, datasets: ModuleType) -> None:
    """en_math has no teacher at all, zh_math has no passage, chat_specific has no English row: yet all are alike."""
    loaded = [load(f"{language}_{subset}")["train"] for language in LANGUAGES for subset in SUBSETS]
    assert len({str(one.features) for one in loaded}) == 1  # type: ignore[attr-defined]
    joined = datasets.concatenate_datasets(loaded)
    assert len(joined) == sum(map(len, loaded))  # type: ignore[arg-type]
    assert {row["teacher"] is None for row in joined} == {True, False}
    assert {row["source"]["english"] is None for row in joined} == {True, False}


def test_datasets_streams_it_too(shared: Assembly, datasets: ModuleType) -> None:
    stream = datasets.load_dataset(shared.staging, "zh_chat_specific", split="train", streaming=True)
    rows = in_order(shared, "zh", "chat_specific", "train")
    assert [row["id"] for row in stream] == [row["id"] for row in rows]


def test_datasets_reads_the_lines(shared: Assembly, datasets: ModuleType, tmp_path: Path) -> None:
    for path, column in (
        ("messages/zh_chat_specific.train.jsonl", "messages"),
        ("sharegpt/zh_chat_specific.train.jsonl", "conversations"),
        ("ultralink_with_document/zh_chat_specific.jsonl", "data"),
    ):
        loaded = datasets.load_dataset("json", data_files=shared.staged(path), split="train", cache_dir=str(tmp_path))
        assert column in loaded.column_names
        assert len(loaded) == len(in_order(shared, "zh", "chat_specific", "train"))


def test_pandas_polars_and_duckdb_read_the_same(shared: Assembly) -> None:
    rows = in_order(shared, "zh", "chat_specific", "train")
    ids, pattern = [row["id"] for row in rows], shared.staged("data/zh_chat_specific/train-*.parquet")
    frame = pd.concat(pd.read_parquet(path) for path in sorted(Path(pattern).parent.glob("train-*")))
    assert frame["id"].tolist() == ids
    assert [message["content"] for message in frame["messages"].iloc[3]] == said(rows[3])
    assert str(frame["created"].dtype).startswith("datetime64[us, UTC")
    lazy = pl.scan_parquet(pattern).select("id", "messages", pl.col("scores").struct.field("language")).collect()
    assert lazy["id"].to_list() == ids
    assert lazy["messages"].to_list() == [row["messages"] for row in rows]
    assert lazy["language"].to_list() == [1.0] * len(ids)
    found = (
        duckdb.read_parquet(pattern)
        .filter("teacher is not null")
        .project("id, messages[1].content, scores.grounded, source.title")
        .fetchall()
    )
    assert sorted(found) == sorted(
        (row["id"], said(row)[0], dict(row["scores"])["grounded"], row["source"]["title"])  # type: ignore[call-overload,index]
        for row in rows
    )
    everything = shared.staged("data/*/*.parquet")
    assert duckdb.read_parquet(everything).count("*").fetchall() == [(639,)]
    assert pl.scan_parquet(everything).select(pl.len()).collect().item() == 639


def test_the_lines_are_read_by_pandas_polars_and_duckdb(shared: Assembly) -> None:
    path = shared.staged("messages/en_chat_specific.train.jsonl")
    expected = [row["messages"] for row in in_order(shared, "en", "chat_specific", "train")]
    assert pd.read_json(path, lines=True)["messages"].tolist() == expected
    assert pl.read_ndjson(path)["messages"].to_list() == expected
    assert duckdb.read_json(path).project("messages").fetchall() == [(one,) for one in expected]


# --- again, and in other circumstances ------------------------------------------------------------


def test_a_second_try_has_nothing_to_do(store: Store) -> None:
    run = released(store)
    for number in range(len(run.configurations)):
        built = writes_nothing(Path(store.root), lambda number=number: export(run, number))  # type: ignore[misc]
        assert "Nothing to do" in built.line  # type: ignore[attr-defined]


def test_two_exports_are_equal_byte_for_byte(store: Store) -> None:
    assert staged(released(store, run_id="one")) == staged(released(store, run_id="two"))


@pytest.mark.parametrize(
    "path", ["data/zh_math/train-00000-of-00002.parquet", "messages/zh_math.train.jsonl", "ultralink/zh_math.jsonl"]
)
def test_a_lost_or_cut_file_is_written_again(store: Store, path: str) -> None:
    run = released(store)
    before = staged(run)
    number = run.configurations.index(("zh", "math"))
    Path(run.staged(path)).unlink()
    assert "files" in export(run, number).line
    Path(run.staged(path)).write_bytes(before[path][:-1])
    assert "Nothing to do" not in export(run, number).line
    assert staged(run) == before


def test_no_file_of_an_earlier_try_stays(store: Store) -> None:
    """A person clears the tasks after the split has changed: fewer rows make fewer files."""
    released(store)
    run = ready(store, near=[("zh", DATES[0], row) for row in range(80, 120)])
    assert "data/zh_math/train-00001-of-00002.parquet" in staged(run)
    killed = Path(run.staged("messages/.zh_math.train.jsonl.0123.tmp"))
    killed.write_bytes(b"half")
    split_rows(run)
    export_all(run)
    listed = {str(row["path"]) for part in run.staged_files()[:-1] for row in part.rows()}
    assert staged(run).keys() == listed
    assert not killed.exists()
    assert "data/zh_math/train-00000-of-00001.parquet" in listed


def test_a_store_in_memory_works_as_well(store: Store) -> None:
    memory = fill(Store.at("memory://exporting"))
    run = released(memory)
    assert staged(run) == staged(released(store))
    assert "Nothing to do" in export(run, 0).line


def test_no_more_than_some_rows_are_in_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches stay small however many rows a night has, and rows of other subsets are not read."""
    sizes: list[int] = []
    real = release_export.release_table

    def watched(samples: object, *others: object) -> object:
        sizes.append(len(samples))  # type: ignore[arg-type]
        return real(samples, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(release_export, "release_table", watched)
    publish_samples(
        store, "en", DATES[2], [sample("en", "code", number, date=DATES[2]) for number in range(1000, 2000)]
    )
    run = released(store, recipe=ReleaseRecipe(validation_share=0))
    assert max(sizes) <= 256
    assert sum(sizes) == run.plan.rows


@pytest.mark.parametrize(
    "numbers", [[], [0], [999], [255, 256, 511, 512], list(range(1000)), list(range(300, 1000, 7))]
)
def test_a_part_gives_the_rows_that_are_selected(tmp_path: Path, numbers: list[int]) -> None:
    """From row groups of any size: this library's are of 256 rows, those of others are not."""
    part = Store.at(str(tmp_path)).part(PLACES, "zh", "math")
    part.write(({"date": DATES[0], "row": row, "id": f"r{row}", "split": "train"} for row in range(1000)), "places")
    for _ in range(2):
        batches = list(part.selected(np.array(numbers, dtype=np.int64), ["row"]))
        assert [row for batch in batches for row in batch.column("row").to_pylist()] == numbers
        assert all(batch.schema.names == ["row"] and 0 < len(batch) <= 256 for batch in batches)
        metadata = pq.read_metadata(part.path).metadata
        table = pq.read_table(part.path, partitioning=None).replace_schema_metadata(metadata)
        pq.write_table(table, part.path, row_group_size=700)


# --- what goes wrong ------------------------------------------------------------------------------


def test_an_export_before_the_split_says_so(store: Store) -> None:
    with pytest.raises(PartMissing, match="'split'"):
        export(ready(store), 0)


def test_a_night_that_was_made_anew_stops_the_export(store: Store) -> None:
    run = ready(store)
    split_rows(run)
    publish_samples(store, "zh", DATES[1], samples("zh", DATES[1], 40, first=70))
    number = run.configurations.index(("zh", "code"))
    with pytest.raises(PartitionChanged, match=rf"zh/{DATES[1]}"):
        export(run, number)
    assert not [path for path in staged(run) if "zh_code" in path]
    export(run, 0)  # of another language, whose nights are as they were


def test_a_night_that_changes_while_it_is_read_stops_the_export(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ready(store)
    split_rows(run)
    real = release_export.conversations

    def meanwhile(*given: object) -> object:
        publish_samples(store, "zh", DATES[0], samples("zh", DATES[0], 40, first=200))
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(release_export, "conversations", meanwhile)
    with pytest.raises(PartitionChanged):
        export(run, run.configurations.index(("zh", "code")))
    assert not [path for path in staged(run) if "zh_code" in path]


@pytest.mark.parametrize("changed", [{"id": "somebody else"}, {"row": 160}])
def test_a_place_of_another_row_stops_the_export(store: Store, changed: dict[str, object]) -> None:
    run = ready(store)
    split_rows(run)
    places = run.part(PLACES, "zh", "code")
    *others, last = places.rows()
    places.write([*others, {**last, **changed}], "another")
    with pytest.raises(PartitionChanged, match=rf"zh/{DATES[1]}"):
        export(run, run.configurations.index(("zh", "code")))


def test_a_night_that_is_gone_stops_the_export(store: Store) -> None:
    run = ready(store)
    split_rows(run)
    Path(store.part(SAMPLES, "zh", DATES[0]).path).unlink()
    with pytest.raises(PartMissing, match=rf"zh/{DATES[0]}"):
        export(run, run.configurations.index(("zh", "math")))


def test_a_row_that_nobody_can_train_on_is_named_and_nothing_of_it_written(store: Store) -> None:
    bad = sample("zh", "math", 5, date=DATES[2], sample_id="zh-math-bad", messages=[("user", "Hm?"), ("user", "Hm?")])
    publish_samples(store, "zh", DATES[2], [*samples("zh", DATES[2], 3, first=300), bad])
    run = ready(store)
    split_rows(run)
    number = run.configurations.index(("zh", "math"))
    with pytest.raises(SampleUnfit, match=rf"zh/{DATES[2]}.*'zh-math-bad': its roles are user, user"):
        export(run, number)
    assert not [path for path in staged(run) if "zh_math" in path and "data/" not in path]
    assert run.part(STAGED_FILES, "zh", "math").stamp() is None


@pytest.mark.parametrize("spare", [200, 20_000, 60_000, 90_000])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, spare: int) -> None:
    """And the next try, when there is room again, writes all."""
    root = tmp_path / "disk"
    root.mkdir()
    with small_disk(root, "16m"):
        store = fill(Store.at(str(root / "store")))
        run = ready(store)
        split_rows(run)
        before = files(root)
        leave_free(root, spare)
        with pytest.raises(StoreFull, match="no space left"):
            export(run, 0)
        after = files(root)
        assert not [path for path in after if path.endswith(".tmp")]
        new = {path for path in after.keys() - before.keys() if path != "ballast"}
        assert all(pq.read_metadata(root / path).num_rows == 50 for path in new)  # whole files, which the list lacks
        assert run.part(STAGED_FILES, *run.configurations[0]).stamp() is None
        (root / "ballast").unlink()
        assert "11 files" in export(run, 0).line
        assert {row["path"] for row in run.part(STAGED_FILES, *run.configurations[0]).rows()} == {
            path for path in staged(run) if "en_chat_specific" in path
        }


def test_a_full_disk_in_the_split_leaves_nothing_half_written(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    with small_disk(root, "8m"):
        run = ready(fill(Store.at(str(root / "store"))))
        leave_free(root, 8192)
        with pytest.raises(StoreFull):
            split_rows(run)
        assert not [path for path in files(root) if path.endswith(".tmp")]
        assert run.part(STAGED_FILES, PROVENANCE).stamp() is None
        assert staged(run) == {}
        (root / "ballast").unlink()
        assert "640 of 640 rows stay" in split_rows(run).line


def test_a_store_that_cannot_be_written_says_so(store: Store) -> None:
    run = ready(store)
    split_rows(run)
    with read_only(Path(store.root)), pytest.raises(StoreReadOnly, match="mount and owner"):
        export(run, 0)

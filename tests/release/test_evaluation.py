"""Evaluation sets in every shape, and files that are none."""

from __future__ import annotations

import gzip
import json
import socket
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from ultralink.errors import EvaluationSetError, SourceUnreachable, TransientError
from ultralink.release.evaluation import Item, checksum, read_items
from ultralink.release.recipe import EvaluationSet

DATA = Path(__file__).parents[1] / "data" / "evaluation"


def evaluation(path: Path | str, *fields: str) -> EvaluationSet:
    return EvaluationSet(name="sample", path=str(path), fields=list(fields))


def items(path: Path | str, *fields: str) -> list[Item]:
    return list(read_items(evaluation(path, *fields)))


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "begins"), [("en", "Marta's"), ("zh", "玛尔塔"), ("ru", "Пекарня"), ("fr", "La")])
def test_tab_separated_values_without_a_header(language: str, begins: str) -> None:
    first, second = items(DATA / f"mgsm_{language}.tsv", "0")[:2]
    assert first.texts[0].startswith(begins)
    assert (first.label, second.label) == ("row 1", "row 2")
    assert items(DATA / f"mgsm_{language}.tsv", "0", "1")[0].texts[1] == "1800"


def test_packed_json_lines_with_ids() -> None:
    found = items(DATA / "humaneval.jsonl.gz", "prompt", "canonical_solution")
    assert [item.label for item in found] == ["Sample/0", "Sample/1"]
    assert "longest_climb" in found[0].texts[0]
    assert "enumerate" in found[0].texts[1]


def test_a_field_in_an_object() -> None:
    assert [item.label for item in items(DATA / "omgeval_zh.jsonl", "instruction.text")] == ["zh-1", "zh-2"]


def test_parquet_with_a_list_of_choices() -> None:
    item = items(DATA / "mmlu.parquet", "question", "choices")[0]
    assert item.texts[1:] == ("Canopy", "Understorey", "Shrub layer", "Forest floor")
    assert item.listed == (False, True, True, True, True)


def test_a_field_in_each_object_of_a_list(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", {"q": "Which?", "choices": [{"text": "One"}, {"text": 2}]})
    assert items(path, "q", "choices.text") == [Item("row 1", ("Which?", "One", "2"), (False, True, True))]


def test_a_name_with_a_dot_is_that_column(tmp_path: Path) -> None:
    assert items(written(tmp_path / "a.jsonl", {"meta.q": "Which?"}), "meta.q")[0].texts == ("Which?",)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_values_with_a_header(tmp_path: Path, suffix: str) -> None:
    text = '\ufeffid,question\n7,"Two, or\nthree?"\n\n8,"He said ""four""."\n'.encode()
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[suffix]
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(pack(text))
    assert [(item.label, item.texts[0]) for item in items(path, "question")] == [
        ("7", "Two, or\nthree?"),
        ("8", 'He said "four".'),
    ]


def test_a_quotation_mark_in_tab_separated_values_is_text(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('"Why," she said, "is it so?\t5\nNext\t6\n')
    assert [item.texts[0] for item in items(path, "0")] == ['"Why," she said, "is it so?', "Next"]


def test_rows_without_text_are_no_items(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", {"q": ""}, {"q": None}, {"q": "Which?"})
    assert [item.label for item in items(path, "q")] == ["row 3"]


def test_object_storage() -> None:
    url = "memory://evaluation/a.jsonl"
    with fsspec.open(url, "wb") as file:
        file.write(b'{"q": "Which?"}\n')
    assert items(url, "q")[0].texts == ("Which?",)
    assert checksum(evaluation(url, "q"))


def test_a_checksum_follows_the_content(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", {"q": "Which?"})
    before = checksum(evaluation(path, "q"))
    written(path, {"q": "Who?"})
    assert checksum(evaluation(path, "q")) != before


# --- what is none ---------------------------------------------------------------------------------


def refused(path: Path | str, *fields: str) -> str:
    with pytest.raises(EvaluationSetError) as caught:
        items(path, *fields)
    assert "evaluation set sample" in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "none.jsonl", "q")
    with pytest.raises(EvaluationSetError, match="no such file"):
        checksum(evaluation(tmp_path / "none.jsonl", "q"))


def test_a_name_that_says_nothing(tmp_path: Path) -> None:
    assert "must end in .jsonl" in refused(tmp_path / "a.pickle", "q")


def test_a_missing_field_names_what_is_there(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", {"q": "Which?"}, {"query": "Who?"})
    assert "row 2: field 'q' is missing; there are 'query'" in refused(path, "q")


def test_a_header_that_is_not_there() -> None:
    message = refused(DATA / "mgsm_en.tsv", "question")
    assert "numbered, '0' being the first" in message
    assert len(message) < 500  # of the texts in the header's place only a piece


def test_a_column_that_a_row_lacks(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("a\tb\nc\n")
    assert "row 2: field '1' is missing" in refused(path, "1")


def test_an_object_where_text_should_be(tmp_path: Path) -> None:
    assert "go into it with a dot" in refused(written(tmp_path / "a.jsonl", {"q": {"text": "Which?"}}), "q")
    assert "'q' is no object" in refused(written(tmp_path / "a.jsonl", {"q": "Which?"}), "q.text")


def test_rows_that_are_broken(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"q": "Which?"}\n{"q": \n')
    assert "row 2: not valid JSON" in refused(path, "q")
    table = tmp_path / "a.csv"
    table.write_bytes(b'q\n"Which\n')
    assert "row 2: no such table" in refused(table, "q")
    table.write_bytes(b"q\nWh\xffich\n")
    assert "not UTF-8" in refused(table, "q")


def test_files_that_are_broken(tmp_path: Path) -> None:
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"q": "Which?"}\n' * 500)[:-9])
    assert "truncated or damaged" in refused(packed, "q")
    table = tmp_path / "a.parquet"
    table.write_bytes(b"PAR1 and nothing else")
    assert "truncated or damaged" in refused(table, "q")


@pytest.mark.parametrize(
    "begins", ["<!DOCTYPE html>\n<html>", "\ufeff <html lang='en'>", "version https://git-lfs.github.com/"]
)
def test_what_came_in_the_place_of_a_table(tmp_path: Path, begins: str) -> None:
    table = tmp_path / "a.tsv"
    table.write_text(f"{begins}\n<body>Sign in</body>\n")
    assert "not a table" in refused(table, "0")
    assert "not a table" in refused(table, "question")


@pytest.mark.parametrize("content", ["", "\n\n", '{"q": ""}\n'])
def test_an_empty_set(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    assert "an empty set protects nothing" in refused(path, "q")


def test_an_empty_table(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"q": pa.array([], pa.string())}), path)
    assert "an empty set" in refused(path, "q")


def test_a_server_that_is_down() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a.jsonl"
        with pytest.raises(SourceUnreachable, match="evaluation set sample"):
            items(url, "q")
        with pytest.raises(TransientError):
            checksum(evaluation(url, "q"))

"""Blocklists: whole words, phrases, scripts without spaces, and files that are none."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralink.errors import RecipeError
from ultralink.release.blocklist import Blocklist, read_blocklist
from ultralink.release.words import normalised, units


def listed(path: Path, *lines: str) -> Blocklist:
    path.write_text("\n".join(lines), encoding="utf-8")
    return read_blocklist("fr", str(path))


def found(blocklist: Blocklist, text: str) -> str | None:
    return blocklist.find(units(normalised(text)))


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("ass", "An ASS, a fool"),
        ("Œuvre interdite", "une œuvre\ninterdite !"),
        ("straße", "Die STRASSE ist lang"),
        ("плохое слово", "Это — «Плохое, слово»."),
        ("坏词", "这是一个坏词吗"),
        ("ｆｏｏ", "foo"),
        ("c++", "I like C++ more"),
        ("mala palabra", "mala palabra"),
    ],
)
def test_what_is_listed_is_found(tmp_path: Path, entry: str, text: str) -> None:
    assert found(listed(tmp_path / "a.txt", entry), text) == " ".join(units(normalised(entry)))


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("ass", "a class of glass passes"),
        ("mala palabra", "palabra mala, mala y palabra"),
        ("坏词", "坏的词"),
        ("слово", "словом"),
        ("foo", ""),
    ],
)
def test_what_is_not_listed_is_not(tmp_path: Path, entry: str, text: str) -> None:
    assert found(listed(tmp_path / "a.txt", entry), text) is None


def test_comments_and_blank_lines(tmp_path: Path) -> None:
    blocklist = listed(tmp_path / "a.txt", "\ufeff# a comment", "", "foo # why", "  bar  ", "foo")
    assert sorted(blocklist.phrases) == ["bar", "foo"]


def test_of_two_phrases_that_begin_alike_the_one_that_is_there(tmp_path: Path) -> None:
    blocklist = listed(tmp_path / "a.txt", "red car", "red house at sea")
    assert found(blocklist, "red red house at sea") == "red house at sea"
    assert found(blocklist, "red house at") is None


@given(before=st.text(max_size=40), after=st.text(max_size=40), word=st.sampled_from(["foo bar", "坏词", "слово"]))
def test_a_phrase_is_found_anywhere(before: str, after: str, word: str) -> None:
    phrase = tuple(units(normalised(word)))
    blocklist = Blocklist("", {phrase[0]: (phrase,)})
    assert found(blocklist, f"{before}\n{word}\n{after}") == " ".join(phrase)


def test_a_list_on_object_storage_and_its_digest() -> None:
    with fsspec.open("memory://lists/fr.txt", "wb") as file:
        file.write(b"foo\n")
    first = read_blocklist("fr", "memory://lists/fr.txt")
    with fsspec.open("memory://lists/fr.txt", "wb") as file:
        file.write(b"foo\nbar\n")
    second = read_blocklist("fr", "memory://lists/fr.txt")
    assert len({first.digest, second.digest, ""}) == 3


def test_lists_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(RecipeError, match=r"a\.txt: blocklists\.fr .* no such file"):
        read_blocklist("fr", str(path))
    with pytest.raises(RecipeError, match="line 2 has no word"):
        listed(path, "foo", "!!!")
    with pytest.raises(RecipeError, match="the list is empty"):
        listed(path, "# nothing")
    path.write_bytes(b"foo\n\xff")
    with pytest.raises(RecipeError, match="byte 5 is not UTF-8"):
        read_blocklist("fr", str(path))
    with pytest.raises(RecipeError, match="cannot be read"):
        read_blocklist("fr", str(tmp_path))

"""Dumps: plain, bz2 and multistream with an index; damage at any byte is a DumpError, never a wrong page."""

from __future__ import annotations

import bz2
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from ultralink.errors import DumpError
from ultralink.recipe import DumpSource
from ultralink.wikipedia.article import Candidate, Page, TurnedAway
from ultralink.wikipedia.dump import DumpWiki

FETCHED = datetime(2026, 11, 23, tzinfo=UTC)
HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">
  <siteinfo><sitename>W</sitename><namespaces><namespace key="0" />
  <namespace key="1">Talk</namespace><namespace key="10">Template</namespace></namespaces></siteinfo>
"""
TAIL = "</mediawiki>\n"

ADDRESS = "https://example.org/wiki/{title}"


def page(number: int, title: str, text: str, ns: int = 0, redirect: str = "") -> str:
    goes_to = f'<redirect title="{redirect}" />' if redirect else ""
    return f"""  <page>
    <title>{escape(title)}</title><ns>{ns}</ns><id>{number}</id>{goes_to}
    <revision><id>{number}000</id><timestamp>2025-01-01T00:00:00Z</timestamp>
      <contributor><username>U</username><id>7</id></contributor>
      <model>wikitext</model><format>text/x-wiki</format>
      <text bytes="{len(text)}" xml:space="preserve">{escape(text)}</text></revision>
  </page>
"""


PAGES = [
    page(1, "Tea", "Tea & <b>milk</b>."),
    page(2, "Talk:Tea", "Talk.", ns=1),
    page(3, "Chai", "#REDIRECT [[Tea]]", redirect="Tea"),
    page(4, "AT&T: a story", "Telephones. 电话."),
    page(5, "Empty", ""),
    page(6, "Big", "Long sentence. " * 20_000),
    page(7, "Last", "The end."),
]
ARTICLES = [(1, "Tea"), (4, "AT&T: a story"), (5, "Empty"), (6, "Big"), (7, "Last")]


@dataclass(frozen=True)
class Written:
    """A dump as files, and where its streams start."""

    source: DumpSource
    offsets: tuple[int, ...] = ()

    @property
    def path(self) -> Path:
        return Path(self.source.path)

    def wiki(self) -> DumpWiki:
        return DumpWiki(self.source, FETCHED)


def plain(folder: Path, pages: Sequence[str] = PAGES) -> Written:
    path = folder / "wiki.xml"
    path.write_text(HEAD + "".join(pages) + TAIL, encoding="utf-8")
    return Written(DumpSource(article_url=ADDRESS, path=str(path)))


def packed(folder: Path) -> Written:
    path = folder / "wiki.xml.bz2"
    path.write_bytes(bz2.compress((HEAD + "".join(PAGES) + TAIL).encode()))
    return Written(DumpSource(article_url=ADDRESS, path=str(path)))


def multistream(folder: Path, packed_index: bool = True, with_index: bool = True) -> Written:
    """Two pages per stream; the index escapes titles, as Wikimedia's does."""
    path, index = folder / "multi.xml.bz2", folder / ("index.txt.bz2" if packed_index else "index.txt")
    written, lines, offsets = bz2.compress(HEAD.encode()), [], []
    for start in range(0, len(PAGES), 2):
        group = PAGES[start : start + 2]
        offsets.append(len(written))
        for one in group:
            title = one.partition("<title>")[2].partition("</title>")[0]
            number = one.partition("<id>")[2].partition("</id>")[0]
            lines.append(f"{len(written)}:{number}:{title}\n")
        written += bz2.compress("".join(group).encode())
    path.write_bytes(written + bz2.compress(TAIL.encode()))
    said = "".join(lines).encode()
    index.write_bytes(bz2.compress(said) if packed_index else said)
    source = DumpSource(article_url=ADDRESS, path=str(path), index=str(index) if with_index else None)
    return Written(source, tuple(offsets))


def chosen(*numbers: int) -> list[Candidate]:
    return [Candidate(number, f"page {number}", None) for number in numbers]


def got(wiki: DumpWiki, *numbers: int) -> list[Page | TurnedAway]:
    return list(wiki.pages(chosen(*numbers)))


FORMS = {
    "plain": plain,
    "bz2": packed,
    "streams without index": lambda folder: multistream(folder, with_index=False),
    "index": lambda folder: multistream(folder, packed_index=False),
    "bz2 index": multistream,
}


@pytest.fixture(params=FORMS)
def dump(request: pytest.FixtureRequest, tmp_path: Path) -> Written:
    return FORMS[request.param](tmp_path)


def test_candidates_are_the_articles_in_order(dump: Written) -> None:
    found = list(dump.wiki().candidates())
    if dump.source.index:
        assert [(one.page_id, one.title, one.revision_id) for one in found] == [
            (1, "Tea", None), (3, "Chai", None), *((number, title, None) for number, title in ARTICLES[1:])
        ]  # fmt: skip
    else:
        assert [(one.page_id, one.title, one.revision_id) for one in found] == [
            (number, title, number * 1000) for number, title in ARTICLES
        ]


@pytest.mark.parametrize("amount", [1, 2, 3, 9])
def test_confirmed_candidates_are_articles_in_the_given_order(dump: Written, amount: int) -> None:
    wiki = dump.wiki()
    drawn = [one for one in wiki.candidates() if one.page_id != 5][::-1]  # 5 has no text
    found = wiki.confirmed(drawn, amount)
    assert [(one.page_id, one.revision_id) for one in found] == [(7, 7000), (6, 6000), (4, 4000), (1, 1000)][:amount]


def test_pages_have_their_text_and_revision(dump: Written) -> None:
    tea, story, big = got(dump.wiki(), 6, 4, 1, 4)
    assert (tea, story) == (
        Page(1, 1000, "Tea", "Tea & <b>milk</b>.", "wikitext", FETCHED),
        Page(4, 4000, "AT&T: a story", "Telephones. 电话.", "wikitext", FETCHED),
    )
    assert isinstance(big, Page)
    assert big.text == "Long sentence. " * 20_000


def test_what_is_no_article_is_turned_away(dump: Written) -> None:
    away = {one.page_id: one for one in got(dump.wiki(), 2, 3, 5, 99)}
    assert all(isinstance(one, TurnedAway) for one in away.values())
    assert {number: one.gate for number, one in away.items() if isinstance(one, TurnedAway)} == {
        2: "namespace", 3: "redirect", 5: "missing", 99: "missing"
    }  # fmt: skip
    assert away[99].title == "page 99"


def test_nothing_chosen_reads_nothing(tmp_path: Path) -> None:
    assert got(DumpWiki(DumpSource(article_url=ADDRESS, path=str(tmp_path / "none.xml")), FETCHED)) == []


def test_only_the_streams_of_chosen_pages_are_read(tmp_path: Path) -> None:
    dump = multistream(tmp_path)
    data = bytearray(dump.path.read_bytes())
    for start, end in ((dump.offsets[0], dump.offsets[1]), (dump.offsets[2], len(data))):
        data[start:end] = b"?" * (end - start)
    dump.path.write_bytes(data)
    assert [one.title for one in got(dump.wiki(), 4)] == ["AT&T: a story"]


def test_a_pass_ends_at_the_last_chosen_page(tmp_path: Path) -> None:
    dump = plain(tmp_path, [*PAGES, *(page(number, f"P{number}", "x" * 5000) for number in range(10, 400))])
    whole = dump.path.read_bytes()
    dump.path.write_bytes(whole[: len(whole) // 2])
    assert [one.title for one in got(dump.wiki(), 1, 4)] == ["Tea", "AT&T: a story"]


def test_of_a_history_the_last_revision_counts(tmp_path: Path) -> None:
    revision = "<revision><id>{}</id><model>wikitext</model><text>{}</text></revision>"
    history = "".join(revision.format(number, f"text {number}") for number in (5, 6, 7))
    dump = plain(tmp_path, [f"<page><title>T</title><ns>0</ns><id>1</id>{history}</page>"])
    assert got(dump.wiki(), 1) == [Page(1, 7, "T", "text 7", "wikitext", FETCHED)]
    assert list(dump.wiki().candidates()) == [Candidate(1, "T", 7)]


def test_utf16_is_read(tmp_path: Path) -> None:
    path = tmp_path / "wiki.xml"
    whole = '<?xml version="1.0" encoding="utf-16"?>' + HEAD + "".join(PAGES) + TAIL
    path.write_bytes(whole.encode("utf-16"))
    assert [one.title for one in got(DumpWiki(DumpSource(article_url=ADDRESS, path=str(path)), FETCHED), 4)] == [
        "AT&T: a story"
    ]


# --- damage ---------------------------------------------------------------------------------------------


def everything(wiki: DumpWiki) -> list[Page | TurnedAway]:
    return list(wiki.pages(list(wiki.candidates()) + chosen(99)))


@pytest.mark.parametrize("form", ["plain", "bz2", "streams without index"])
def test_a_truncated_dump_is_an_error_wherever_it_ends(form: str, tmp_path: Path) -> None:
    dump = FORMS[form](tmp_path)
    whole = dump.path.read_bytes()
    end = len(whole) - (1 if form == "plain" else 0)  # the last byte of the plain one is a line end
    ends = {0, 1, 2, 5, end - 1, end - 10, *dump.offsets, *range(0, end, max(1, len(whole) // 60))}
    for end in sorted(ends):
        dump.path.write_bytes(whole[:end])
        with pytest.raises(DumpError, match=r"wiki\.xml|multi\.xml") as caught:
            everything(dump.wiki())
        assert "byte" in str(caught.value)


def test_a_truncated_stream_of_a_chosen_page_is_an_error(tmp_path: Path) -> None:
    dump = multistream(tmp_path)
    whole = dump.path.read_bytes()
    start, end = dump.offsets[1], dump.offsets[2]
    for cut in range(start, end, max(1, (end - start) // 20)):
        dump.path.write_bytes(whole[:cut])
        with pytest.raises(DumpError, match=r"truncated|does not fit"):
            got(dump.wiki(), 4)


@pytest.mark.parametrize("form", ["bz2", "bz2 index"])
def test_flipped_bits_never_pass_as_text(form: str, tmp_path: Path) -> None:
    dump = FORMS[form](tmp_path)
    sound = everything(dump.wiki())
    whole = dump.path.read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // 40)):
        dump.path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        assert outcome(dump.wiki()) in (sound, "DumpError")


def outcome(wiki: DumpWiki) -> list[Page | TurnedAway] | str:
    try:
        return everything(wiki)
    except DumpError:
        return "DumpError"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<html><body>404</body></html>", "root is <html>"),
        ("not XML at all", "not well-formed"),
        ("", "truncated"),
        (HEAD + "<page><title>T</title><ns>0</ns></page>" + TAIL, "without <id>"),
        (HEAD + "<page><title>T</title><ns>zero</ns><id>1</id></page>" + TAIL, "<ns> is not a number"),
        (HEAD + "<page><title>T</title></mediawiki>", "not well-formed"),
        (HEAD + "<a>" * 50_000, "deep"),
        ('<!DOCTYPE mediawiki [<!ENTITY a "b">]><mediawiki>&a;</mediawiki>', "DOCTYPE"),
        ('<!DOCTYPE mediawiki SYSTEM "file:///etc/passwd"><mediawiki/>', "DOCTYPE"),
    ],
)
def test_what_is_no_export_is_refused(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.xml"
    path.write_text(content)
    with pytest.raises(DumpError, match=said) as caught:
        everything(DumpWiki(DumpSource(article_url=ADDRESS, path=str(path)), FETCHED))
    assert str(path) in str(caught.value)


def test_a_missing_file_a_folder_and_an_unknown_protocol(tmp_path: Path) -> None:
    for path, said in (
        (tmp_path / "none.xml", "no such file"),
        (tmp_path, "cannot be read"),
        ("nowhere://x/y.xml", "cannot be opened"),
    ):
        with pytest.raises(DumpError, match=said):
            everything(DumpWiki(DumpSource(article_url=ADDRESS, path=str(path)), FETCHED))


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("", "empty"),
        ("a:b:c\n", "line 1"),
        ("5:6\n", "line 1"),
        ("99999999:1:Tea\n", "has only"),
        ("7:1:Tea\n", "no bz2 stream starts there"),
        ("{second}:1:Tea\n", "page ids \\[1\\] are not in the stream"),
        ("x" * 10_000_000, "line of over"),
    ],
)
def test_an_index_that_does_not_fit(index: str, said: str, tmp_path: Path) -> None:
    dump = multistream(tmp_path, packed_index=False)
    assert dump.source.index is not None
    Path(dump.source.index).write_text(index.format(second=dump.offsets[1]))
    with pytest.raises(DumpError, match=said) as caught:
        everything(dump.wiki())
    assert "index.txt" in str(caught.value)


def test_an_index_with_a_plain_dump(tmp_path: Path) -> None:
    index = multistream(tmp_path).source.index
    with pytest.raises(DumpError, match="not multistream"):
        everything(DumpWiki(DumpSource(article_url=ADDRESS, path=plain(tmp_path).source.path, index=index), FETCHED))


def test_memory_does_not_grow_with_the_dump(tmp_path: Path) -> None:
    """32 MB of XML in pages of 64 KB, and one of 8 MB that is not wanted."""
    path = tmp_path / "large.xml.bz2"
    with bz2.open(path, "wb", 1) as file:
        file.write(HEAD.encode())
        for number in range(1, 385):
            file.write(page(number, f"P{number}", "word " * 13_000).encode())
        file.write(page(999, "Huge", "word " * 1_600_000).encode())
        file.write(TAIL.encode())
    wiki = DumpWiki(DumpSource(article_url=ADDRESS, path=str(path)), FETCHED)
    tracemalloc.start()
    try:
        assert sum(1 for _ in wiki.candidates()) == 385
        assert sum(1 for _ in wiki.pages(chosen(*range(1, 385)))) == 384
        assert tracemalloc.get_traced_memory()[1] < 6_000_000
    finally:
        tracemalloc.stop()

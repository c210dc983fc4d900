"""A wiki read from a MediaWiki XML export: plain, .bz2, or multistream .bz2 with its index."""

from __future__ import annotations

import bz2
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import BinaryIO
from xml.parsers import expat
from xml.sax.saxutils import unescape

import fsspec

from ultralink.errors import DumpError
from ultralink.recipe import DumpSource
from ultralink.wikipedia.article import Candidate, Page, TurnedAway

CHUNK = 1 << 18  # bytes read, and at most unpacked, at a time
CLIP = 2000  # characters of a turned-away page that are kept
LINE = 4096  # bytes; a title has at most 255, so a longer index line is not one


class DumpWiki:
    """A wiki that is a file. A page's text and revision id are those of its last ``<revision>``.

    ``fetched`` is the time that the pages will carry, by the caller's account when the dump was brought here: an
    export does not say when it was made, and the clock would make every rebuild differ.

    Every method raises DumpError when the file is missing, truncated, damaged or not an export, naming
    the file and the byte.
    """

    def __init__(self, source: DumpSource, fetched: datetime) -> None:
        self._path = source.path
        self._index = source.index
        self._fetched = fetched

    @property
    def tells_revisions(self) -> bool:
        """An index holds none."""
        return self._index is None

    def candidates(self) -> Iterator[Candidate]:
        """All articles, in the order of the dump.

        With an index only that is read: it knows neither revisions nor redirects, so ``revision_id``
        is None, and a redirect shows up when its page is read.
        """
        if self._index is not None:
            yield from self._indexed(self._index)
            return
        with closing(self._stream(lambda page_id: False)) as records:
            for record in records:
                if record.ns == 0 and not record.redirect and record.revision_id is not None:
                    yield Candidate(record.page_id, record.title, record.revision_id)

    def pages(self, chosen: Sequence[Candidate]) -> Iterator[Page | TurnedAway]:
        """The chosen pages in the order of the dump, then those that are not in it as TurnedAway.

        With an index only the streams that hold a chosen page are read, each once; without, one pass
        that ends at the last chosen page.
        """
        wanted = {candidate.page_id: candidate for candidate in chosen}
        if not wanted:
            return
        find = self._stream if self._index is None else self._streams_of(self._index, wanted)
        with closing(find(wanted.__contains__)) as records:
            for record in records:
                if wanted.pop(record.page_id, None) is not None:
                    yield self._judged(record)
                if not wanted:
                    return
        for candidate in wanted.values():
            reason = f"page id {candidate.page_id} is not in {self._path}"
            yield TurnedAway(candidate.page_id, candidate.revision_id, candidate.title, "missing", reason, "")

    def confirmed(self, candidates: Sequence[Candidate], amount: int) -> list[Candidate]:
        """The first ``amount`` of ``candidates`` that are articles.

        An index does not tell redirects and revisions, so the pages themselves are looked at.
        """
        if self._index is None:
            return list(candidates[:amount])
        found: list[Candidate] = []
        for start in range(0, len(candidates), amount):
            batch = candidates[start : start + amount]
            revisions = {page.page_id: page.revision_id for page in self.pages(batch) if isinstance(page, Page)}
            found += [replace(each, revision_id=revisions[each.page_id]) for each in batch if each.page_id in revisions]
            if len(found) >= amount:
                break
        return found[:amount]

    def _judged(self, record: _Record) -> Page | TurnedAway:
        text = "".join(record.text)
        if record.redirect:
            gate, reason = "redirect", f"redirects to {record.redirect!r}"
        elif record.ns != 0:
            gate, reason = "namespace", f"namespace {record.ns}, not an article"
        elif record.revision_id is None or not text:
            gate, reason = "missing", "the dump holds no text for this page"
        elif record.model not in ("", "wikitext"):
            gate, reason = "model", f"content model {record.model!r}, not wikitext"
        else:
            return Page(record.page_id, record.revision_id, record.title, text, "wikitext", self._fetched)
        return TurnedAway(record.page_id, record.revision_id, record.title, gate, reason, text[:CLIP])

    # --- reading the dump -------------------------------------------------------------------------

    def _stream(self, keep_text: _Keep) -> _Records:
        """All pages of the file, one pass."""
        parser = _PageParser(self._path, keep_text)
        with _opened(self._path) as file:
            for data in _unpacked(file, self._path):
                yield from parser.feed(data)
        yield from parser.finish()

    def _streams_of(self, index: str, wanted: dict[int, Candidate]) -> Callable[[_Keep], _Records]:
        """A reader of just the streams in which the index places the wanted pages."""
        places: dict[int, set[int]] = {}
        for offset, page_id, _ in _index_lines(index):
            if page_id in wanted:
                places.setdefault(offset, set()).add(page_id)

        def read(keep_text: _Keep) -> _Records:
            with _opened(self._path) as file:
                for offset in sorted(places):
                    missing = places[offset]
                    with closing(self._one_stream(file, offset, keep_text)) as records:
                        for record in records:
                            missing.discard(record.page_id)
                            yield record
                            if not missing:
                                break
                    if missing:
                        raise self._misfit(f"page ids {sorted(missing)[:5]} are not in the stream", offset)

        return read

    def _one_stream(self, file: BinaryIO, offset: int, keep_text: _Keep) -> _Records:
        """The pages of the bz2 stream that starts at byte ``offset``."""
        file.seek(offset)
        if file.read(3) != b"BZh":
            raise self._misfit("no bz2 stream starts there", offset)
        file.seek(offset)
        parser = _PageParser(self._path, keep_text, offset)
        yield from parser.feed(b"<mediawiki>")
        for data in _unpacked(file, self._path, only_one_stream=True):
            yield from parser.feed(data)
        parser.end_of_stream()

    # --- reading the index ------------------------------------------------------------------------

    def _indexed(self, index: str) -> Iterator[Candidate]:
        """Candidates by the index; the dump's head names the namespaces, whose titles are no articles."""
        size, prefixes = self._head()
        for offset, page_id, title in _index_lines(index):
            if offset >= size:
                raise self._misfit(f"the dump has only {size} bytes", offset)
            if title.partition(":")[0] not in prefixes or ":" not in title:
                yield Candidate(page_id, title, None)

    def _head(self) -> tuple[int, frozenset[str]]:
        """Size of the dump file in bytes, and the names of its namespaces."""
        parser = _PageParser(self._path, lambda page_id: False)
        with _opened(self._path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            if file.read(3) != b"BZh":
                raise DumpError(f"{self._path}: has an index, but is not multistream bz2; set index to null")
            file.seek(0)
            for data in _unpacked(file, self._path):
                pages = list(parser.feed(data))
                if pages or parser.namespaces_known:
                    break
        return size, frozenset(parser.namespaces)

    def _misfit(self, what: str, offset: int) -> DumpError:
        return DumpError(
            f"{self._index}: does not fit {self._path} at byte {offset}: {what};"
            " use the index published with this very dump, or set index to null"
        )


def _index_lines(path: str) -> Iterator[tuple[int, int, str]]:
    """Lines ``offset:page id:title`` of an index, plain or bz2; titles come XML-escaped."""
    number = 0
    for number, line in enumerate(_lines(path), 1):
        offset, _, rest = line.partition(b":")
        page_id, colon, title = rest.partition(b":")
        try:
            if not colon:
                raise ValueError("no colon")
            yield int(offset), int(page_id), unescape(title.decode("utf-8"), {"&quot;": '"', "&#039;": "'"})
        except ValueError:
            raise DumpError(f"{path}: line {number}: not 'offset:page id:title': {line[:80]!r}") from None
    if number == 0:
        raise DumpError(f"{path}: the index is empty")


def _lines(path: str) -> Iterator[bytes]:
    rest = b""
    with _opened(path) as file:
        for data in _unpacked(file, path):
            *lines, rest = (rest + data).split(b"\n")
            yield from filter(None, (line.rstrip(b"\r") for line in lines))
            if len(rest) > LINE:
                raise DumpError(f"{path}: a line of over {LINE} bytes, not an index of a dump: {rest[:80]!r}")
    if rest:
        yield rest.rstrip(b"\r")


# --- bytes ----------------------------------------------------------------------------------------


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    try:
        opened = fsspec.open(path, "rb").open()
    except FileNotFoundError:
        raise DumpError(f"{path}: no such file") from None
    except (IsADirectoryError, PermissionError) as problem:
        raise DumpError(f"{path}: cannot be read: {problem}") from None
    except (ImportError, ValueError) as problem:  # fsspec: a protocol that is unknown or not installed
        raise DumpError(f"{path}: cannot be opened: {problem}") from problem
    with opened as file:
        yield file


def _unpacked(file: BinaryIO, path: str, only_one_stream: bool = False) -> Iterator[bytes]:
    """The bytes from the file's position on, unpacked if they are bz2, at most CHUNK at a time."""
    raw = file.read(CHUNK)
    if raw[:3] != b"BZh":
        while raw:
            yield raw
            raw = file.read(CHUNK)
        return
    unpacker = bz2.BZ2Decompressor()
    while True:
        if unpacker.eof:
            raw = unpacker.unused_data or file.read(CHUNK)
            if only_one_stream or not raw:
                return
            unpacker = bz2.BZ2Decompressor()
        elif unpacker.needs_input and not raw:
            raw = file.read(CHUNK)
            if not raw:
                raise DumpError(f"{path}: truncated: the bz2 stream breaks off at byte {file.tell()}")
        try:
            data = unpacker.decompress(raw, CHUNK)
        except OSError as problem:
            raise DumpError(f"{path}: damaged bz2 data before byte {file.tell()}: {problem}") from None
        raw = b""
        if data:
            yield data


# --- XML ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Record:
    """A ``<page>`` while it is read."""

    page_id: int = -1
    title: str = ""
    ns: int = 0
    redirect: str = ""
    revision_id: int | None = None
    model: str = ""
    text: list[str] = field(default_factory=list)


_Keep = Callable[[int], bool]  # of a page id: is its text wanted?
_Records = Generator[_Record, None, None]
_PAGE = ("mediawiki", "page")
_NAMESPACE = ("mediawiki", "siteinfo", "namespaces", "namespace")
_REVISION = (*_PAGE, "revision")
_FIELDS = {(*_PAGE, "title"), (*_PAGE, "ns"), (*_PAGE, "id"), (*_REVISION, "id"), (*_REVISION, "model")}


class _PageParser:
    """Pages out of XML that arrives in pieces. Holds one page; the text only of pages that are wanted.

    Expat rather than a tree: it knows the byte of every mistake, and lets us refuse a document type
    before any entity of it can be expanded (an export has none).
    """

    def __init__(self, path: str, keep_text: _Keep, offset: int | None = None) -> None:
        self._path = path
        self._keep_text = keep_text
        self._offset = offset  # of the bz2 stream, where XML bytes are counted from its start
        self._stack: list[str] = []
        self._field: list[str] = []
        self._record = _Record()
        self._done: deque[_Record] = deque()
        self.namespaces: list[str] = []
        self.namespaces_known = False
        self._expat = expat.ParserCreate()
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.StartDoctypeDeclHandler = self._doctype

    def feed(self, data: bytes) -> Iterator[_Record]:
        yield from self._parsed(data, final=False)

    def _parsed(self, data: bytes, final: bool) -> Iterator[_Record]:
        try:
            self._expat.Parse(data, final)
        except expat.ExpatError as problem:
            what = expat.ErrorString(problem.code)
            if problem.code in _ENDS_EARLY:
                raise self._broken(f"truncated: {what}", self._expat.ErrorByteIndex) from None
            raise self._broken(f"not well-formed XML: {what}", self._expat.ErrorByteIndex) from None
        while self._done:
            yield self._done.popleft()

    def finish(self) -> Iterator[_Record]:
        """The end of the file: everything that was opened must have been closed."""
        yield from self._parsed(b"", final=True)

    def end_of_stream(self) -> None:
        """The end of one stream of many: pages must be whole, the export itself goes on."""
        if len(self._stack) > 1:
            raise self._broken("the stream does not end with a whole page", self._expat.CurrentByteIndex)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._stack and name != "mediawiki":
            raise self._broken(f"not a MediaWiki export: its root is <{name[:40]}>, not <mediawiki>")
        self._stack.append(name)
        if len(self._stack) > 8:
            raise self._broken(f"not a MediaWiki export: <{name[:40]}> nested {len(self._stack)} deep")
        place = tuple(self._stack)
        if place == _PAGE:
            self._record = _Record()
        elif place == _REVISION:  # of a full history the last revision stays
            self._record.revision_id, self._record.model = None, ""
            self._record.text = []
        elif place == (*_PAGE, "redirect"):
            self._record.redirect = attributes.get("title") or "?"
        elif place == (*_REVISION, "text") and self._keep_text(self._record.page_id):
            self._expat.CharacterDataHandler = self._record.text.append
        elif place in _FIELDS or place == _NAMESPACE:
            self._field = []
            self._expat.CharacterDataHandler = self._field.append

    def _end(self, name: str) -> None:
        self._expat.CharacterDataHandler = None
        place = tuple(self._stack)
        self._stack.pop()
        value = "".join(self._field).strip()
        if place in _FIELDS:
            self._set(place, value)
        elif place == _NAMESPACE and value:
            self.namespaces.append(value)
        elif place == ("mediawiki", "siteinfo"):
            self.namespaces_known = True
        elif place == _PAGE:
            if self._record.page_id < 0 or not self._record.title:
                raise self._broken("a page without <id> or <title>")
            self._done.append(self._record)

    def _set(self, place: tuple[str, ...], value: str) -> None:
        match place[2:]:
            case ("title",):
                self._record.title = value
            case ("revision", "model"):
                self._record.model = value
            case ("ns",):
                self._record.ns = self._number(value, "ns")
            case ("id",):
                self._record.page_id = self._number(value, "id")
            case _:
                self._record.revision_id = self._number(value, "revision id")

    def _number(self, value: str, name: str) -> int:
        try:
            return int(value)
        except ValueError:
            raise self._broken(f"<{name}> is not a number: {value[:40]!r}") from None

    def _doctype(self, name: str, system: str | None, public: str | None, internal: bool) -> None:
        raise self._broken("has a document type (<!DOCTYPE>), which no MediaWiki export has; refused")

    def _broken(self, what: str, byte: int | None = None) -> DumpError:
        place = f"byte {self._expat.CurrentByteIndex if byte is None else byte} of the XML"
        if self._offset is not None:
            place += f" in the stream at byte {self._offset}"
        return DumpError(f"{self._path}: {place}: {what}")


_ENDS_EARLY = {
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
        expat.errors.XML_ERROR_ASYNC_ENTITY,
    )
}

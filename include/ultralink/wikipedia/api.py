"""Articles from a wiki's Action API: what may be chosen, and each chosen page at one known revision.

Built on wikipedia-api, whose client lists subcategories here, over our own transport (transport.py), which
mends its handling of errors, retries and addresses for good. Three calls go past the library, over the same
transport, because it does them badly:

- a page: the library asks three times for text, revision and categories, so that nothing ties the text to
  the revision; it takes the first 500 categories, never asks whether it is a disambiguation page, and reads
  ``A|B`` as two titles. Here it is one request by page id, checked to be of one revision.
- the members of a category: the library gives no revision ids, and holds a whole category in memory.
- titles: the library asks one by one and gives a missing page a number that differs in each process.
"""

from __future__ import annotations

import logging
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import reduce
from hashlib import blake2b
from itertools import chain
from types import TracebackType
from typing import Literal, TypeVar
from urllib.parse import quote

import httpx
import wikipediaapi
from pydantic import ValidationError

from ultralink import __version__
from ultralink.errors import RecipeError, SelectionEmpty, WikiRefused
from ultralink.recipe import ApiSource, CategoryWalk, RandomDraw, TitleList, Wikipedia
from ultralink.wikipedia.answers import Entry, Query, Reply
from ultralink.wikipedia.article import Candidate, Page, TurnedAway
from ultralink.wikipedia.selection import Draw, place
from ultralink.wikipedia.transport import Patience, PoliteTransport

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

_BATCH = 500  # the most that the API lists per request without a bot's rights
_TITLES = 50  # the most titles per request, likewise
_TITLES_BYTES = 4000  # keeps the address well under the 8 kB that servers accept
_TITLE_BYTES = 255  # MediaWiki's own limit
_CLIPPED = 2000  # characters kept of a page that was turned away
_SEPARATOR = "\x1f"  # in front of a list it replaces "|", so that a title with "|" is one (invalid) title


# --- the source -----------------------------------------------------------------------------------


class ApiWiki:
    """A wiki read through its Action API. Close it, or use it in a ``with``: it holds connections.

    Raises WikiUnreachable (transient, after nearby retries), WikiRefused (permanent) and SelectionEmpty.
    Requests of all ApiWikis in one process share one rate per wiki (`readers` shares it among processes); at most
    ``settings.concurrency`` of this one are in flight.
    """

    tells_revisions = True

    def __init__(
        self, settings: ApiSource, wikipedia: Wikipedia, language: str, patience: Patience | None = None
    ) -> None:
        if not (settings.contact.isascii() and settings.contact.isprintable()):
            raise RecipeError("wikipedia.api.contact: must be printable ASCII, it goes into a header")
        self._settings = settings
        self._wikipedia = wikipedia
        self._transport = PoliteTransport(settings, patience or Patience())
        agent = f"ultralink/{__version__} ({settings.contact})"
        # The library's own retries would multiply the transport's.
        self._library = wikipediaapi.Wikipedia(agent, language, max_retries=0, transport=self._transport)
        # The address that the library has built in too; the transport replaces it by the recipe's.
        self._address = f"https://{language}.wikipedia.org/w/api.php"
        self._headers = {"User-Agent": f"{agent} {wikipediaapi.USER_AGENT}"}

    def close(self) -> None:
        """Give up waiting requests and close all connections; later calls raise WikiUnreachable."""
        self._transport.close()

    def __enter__(self) -> ApiWiki:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def candidates(self) -> Iterator[Candidate]:
        """All pages that the recipe's selection allows, with the revision each has now.

        A title list gives its pages after redirects, each once; what is not an article comes too, under a
        negative page id of its own, for `pages` to turn away with the reason. A category gives a page once
        per category that it is in. A random draw is a `Draw`.
        """
        selection = self._settings.selection
        match selection:
            case CategoryWalk():
                return self._walk(selection.category, selection.depth)
            case TitleList():
                return self._listed(selection.titles)
            case RandomDraw():
                return Draw(self._drawn(self._wikipedia.seed))

    def confirmed(self, candidates: Sequence[Candidate], amount: int) -> list[Candidate]:
        """The first ``amount`` of ``candidates``: the API has already said what each of them is."""
        return list(candidates[:amount])

    def pages(self, chosen: Sequence[Candidate]) -> Iterator[Page | TurnedAway]:
        """The chosen pages in their order, each once; a few are fetched ahead, never more."""
        once = {candidate.page_id: candidate for candidate in chosen}
        return _ahead(self._fetch, once.values(), self._settings.concurrency)

    # --- what may be chosen ---

    def _walk(self, category: str, depth: int) -> Iterator[Candidate]:
        """Breadth first; a category is visited once, however many ways lead to it."""
        level = [self._category_title(category)]
        visited = set(level)
        empty = True
        for below in range(depth + 1):
            log.info("%s: %d categories at depth %d", category, len(level), below)
            for candidate in chain.from_iterable(map(self._members, level)):
                empty = False
                yield candidate
            if below < depth:
                found = dict.fromkeys(chain.from_iterable(map(self._subcategories, level)))
                level = [title for title in found if title not in visited]
                visited.update(level)
        if empty:
            raise SelectionEmpty(
                f"{self._transport.endpoint}: category {category!r} has no article down to depth {depth}; "
                "check wikipedia.api.selection.category"
            )

    def _category_title(self, category: str) -> str:
        """``category`` with the prefix that every wiki understands, whether or not the recipe has one."""
        prefix, colon, name = category.partition(":")
        own = {"category", *(known.casefold() for known in self._wikipedia.cleaning.category_namespaces)}
        bare = name if colon and prefix.strip().casefold() in own else category
        bare = " ".join(bare.replace("_", " ").split())
        if not bare or any(sign in bare for sign in "|#<>[]{}"):
            raise RecipeError(f"wikipedia.api.selection.category: {category!r} cannot be a category's name")
        return f"Category:{bare}"

    def _subcategories(self, category: str) -> list[str]:
        """Titles with the English prefix, whatever the wiki's own: one name for one category."""
        page = self._library.page(category, ns=wikipediaapi.Namespace.CATEGORY)
        subcategories = self._library.categorymembers(page, cmtype="subcat")
        return [f"Category:{title.partition(':')[2]}" for title in subcategories]

    def _members(self, category: str) -> Iterator[Candidate]:
        """The articles right in ``category``. Redirects that carry the category are not articles."""
        for query in self._queries(
            generator="categorymembers", gcmtitle=category, gcmtype="page", gcmnamespace="0",
            gcmlimit=str(_BATCH), prop="info",
        ):  # fmt: skip
            yield from _articles(query.pages)

    def _drawn(self, seed: int) -> Iterator[Candidate]:
        """All articles in the order of the random number that MediaWiki gives a page once, for good.

        list=random starts anywhere in that order, which nobody can seed; but the place where it goes on is a
        parameter (``rand|start|page id|wrapped``), so the seed says where it starts, and it ends when it has
        come round. Uniform, and 500 pages per request on a wiki of any size. Within an answer the API sorts
        by page id, that is by age; the seed shuffles that again.
        """
        start = f"0.{place(seed, 0) % 10**12:012d}"
        drawn = False
        for query in self._queries(
            generator="random", grnnamespace="0", grnfilterredir="nonredirects", grnlimit=str(_BATCH),
            grncontinue=f"{start}|{start}|0|0", prop="info",
        ):  # fmt: skip
            batch = sorted(_articles(query.pages), key=lambda candidate: place(seed, candidate.page_id))
            drawn = drawn or bool(batch)
            yield from batch
        if not drawn:
            raise SelectionEmpty(f"{self._transport.endpoint}: the wiki has no article")

    def _listed(self, titles: Sequence[str]) -> Iterator[Candidate]:
        """The articles of a title list, with stand-ins for what is not one."""
        articles: set[int] = set()
        stand_ins: dict[int, Candidate] = {}
        for found in chain.from_iterable(map(self._look_up, _batches(titles))):
            if isinstance(found, TurnedAway):
                stand_ins[found.page_id] = Candidate(found.page_id, found.title, None)
            elif found.page_id not in articles:
                articles.add(found.page_id)
                yield found
        if not articles:
            raise SelectionEmpty(
                f"{self._transport.endpoint}: none of the {len(titles)} titles of wikipedia.api.selection is "
                f"an article; the first is {titles[0][:80]!r}"
            )
        yield from stand_ins.values()

    # --- titles ---

    def _look_up(self, titles: Sequence[str]) -> Iterator[Candidate | TurnedAway]:
        """What each title stands for, redirects followed; at most one request's worth of titles."""
        askable = [_sent(title) for title in titles if not _flaw(title)]
        told = _Told()
        if askable:
            asked = _SEPARATOR + _SEPARATOR.join(askable)
            told.add(self._queries(titles=asked, redirects="1", converttitles="1", prop="info"))
        for title in titles:
            flaw = _flaw(title)
            yield _stand_in(title, "invalid", flaw) if flaw else told.about(title)

    def _explain(self, candidate: Candidate) -> TurnedAway:
        """Why a stand-in is no article, asked afresh so that nothing but the candidate has to be kept."""
        found = next(self._look_up([candidate.title]))
        if isinstance(found, TurnedAway):
            return found
        return _stand_in(candidate.title, "missing", "it did not exist when the pages were chosen")

    # --- pages ---

    def _fetch(self, candidate: Candidate) -> Page | TurnedAway:
        if candidate.page_id < 0:
            return self._explain(candidate)
        fetched = datetime.now(UTC)
        entry = self._extract(candidate.page_id)
        if _flaw_of(entry):
            return _turned_away(candidate, entry)
        if entry.extract is not None and entry.vouches_for_extract():
            return _page(entry, "extract", entry.extract, fetched)
        entry = self._wikitext(candidate.page_id)
        if _flaw_of(entry) or entry.wikitext is None:
            return _turned_away(candidate, entry)
        return _page(entry, "wikitext", entry.wikitext, fetched)

    def _extract(self, page_id: int) -> Entry:
        """All of a page in one request, but for categories past what one answer holds.

        The modules run in the order of ``prop``: ``info`` reads the latest revision before the text is
        made, ``revisions`` after. `vouches_for_extract` compares the two.
        """
        return self._joined(
            pageids=str(page_id), prop="info|extracts|categories|pageprops|revisions",
            explaintext="1", exsectionformat="wiki", exlimit="1", clshow="!hidden", cllimit="max",
            ppprop="disambiguation", rvprop="ids|timestamp", rvlimit="2",
        )  # fmt: skip

    def _wikitext(self, page_id: int) -> Entry:
        """The page with the wikitext of its latest revision, which no cache can part from its id."""
        return self._joined(
            pageids=str(page_id), prop="info|categories|pageprops|revisions", clshow="!hidden", cllimit="max",
            ppprop="disambiguation", rvprop="ids|content", rvslots="main", rvlimit="1",
        )  # fmt: skip

    def _joined(self, **params: str) -> Entry:
        """The one page of a query, its continuations joined; an empty entry where the wiki names none."""
        entries = [entry for query in self._queries(**params) for entry in query.pages]
        return reduce(Entry.with_more, entries) if entries else Entry(missing=True)

    # --- requests ---

    def _queries(self, **params: str) -> Iterator[Query]:
        """Each answer to an action=query, following its continuation to the end.

        But not into the history of a page: of revisions only the first answer's are wanted.
        """
        fixed = {"action": "query", "format": "json", "formatversion": "2"}
        more: dict[str, str] = {}
        while True:
            request = httpx.Request("GET", self._address, params=fixed | params | more, headers=self._headers)
            reply = self._parsed(self._transport.handle_request(request).content)
            yield reply.query
            following = {key: str(value) for key, value in reply.continue_.items() if key != "rvcontinue"}
            if following.keys() <= {"continue"}:
                return
            if following == more:
                raise WikiRefused(f"{self._transport.endpoint}: its continuation stands still at {following}")
            more = following

    def _parsed(self, body: bytes) -> Reply:
        try:
            return Reply.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(step) for step in first["loc"])
            raise WikiRefused(
                f"{self._transport.endpoint}: not an answer of action=query: {field}: {first['msg']}"
            ) from None


# --- from answers to candidates and pages ---------------------------------------------------------


def _articles(entries: Iterable[Entry]) -> Iterator[Candidate]:
    for entry in entries:
        if entry.pageid is not None and entry.ns == 0 and not entry.missing and not entry.redirect:
            yield Candidate(entry.pageid, entry.title, entry.lastrevid)


def _flaw_of(entry: Entry) -> tuple[str, str] | None:
    """Gate and reason, if there is no text to be had of this page."""
    if entry.missing or entry.pageid is None or not entry.revisions:
        return "missing", "it was deleted since it was chosen"
    if entry.redirect:
        return "redirect", "it became a redirect since it was chosen"
    return None


def _turned_away(candidate: Candidate, entry: Entry) -> TurnedAway:
    gate, reason = _flaw_of(entry) or ("missing", "the wiki gives neither an extract nor wikitext of it")
    revision_id = entry.revisions[0].revid if entry.revisions else candidate.revision_id
    text = entry.extract or entry.wikitext or ""
    return TurnedAway(candidate.page_id, revision_id, entry.title or candidate.title, gate, reason, text[:_CLIPPED])


def _page(entry: Entry, form: Literal["extract", "wikitext"], text: str, fetched: datetime) -> Page:
    return Page(
        page_id=entry.pageid or 0,
        revision_id=entry.revisions[0].revid,
        title=entry.title,
        text=text,
        form=form,
        fetched=fetched,
        categories=tuple(category.title.partition(":")[2] for category in entry.categories),
        is_disambiguation="disambiguation" in entry.pageprops,
    )


# --- titles ---------------------------------------------------------------------------------------


class _Told:
    """What the wiki told of a batch of titles: the steps that lead from each to its page."""

    def __init__(self) -> None:
        self._steps: dict[str, str] = {}
        self._entries: dict[str, Entry] = {}

    def add(self, queries: Iterable[Query]) -> None:
        for query in queries:
            self._entries |= {entry.title: entry for entry in query.pages}
            steps = chain(query.normalized, query.converted, query.redirects)
            self._steps |= {step.from_: step.to for step in steps}

    def about(self, title: str) -> Candidate | TurnedAway:
        """The article that ``title`` leads to, or why it leads to none."""
        name, passed = _sent(title), set[str]()
        while name in self._steps and name not in passed:
            passed.add(name)
            name = self._steps[name]
        entry = self._entries.get(name)
        if name in passed:
            return _stand_in(title, "redirect", "it redirects in a circle")
        if entry is None:
            return _stand_in(title, "missing", f"it leads to {name[:80]!r}, outside this wiki")
        if entry.invalid:
            return _stand_in(title, "invalid", entry.invalidreason[:200])
        if entry.missing or entry.pageid is None:
            return _stand_in(title, "missing", f"the wiki has no page {entry.title[:80]!r}")
        if entry.ns != 0:
            return _stand_in(title, "namespace", f"it is no article, but a page of namespace {entry.ns}")
        if entry.redirect:
            return _stand_in(title, "redirect", f"{entry.title[:80]!r} redirects to no article")
        return Candidate(entry.pageid, entry.title, entry.lastrevid)


def _stand_in(title: str, gate: str, reason: str) -> TurnedAway:
    """A listed title that is not an article, under a page id that is its own and no page's."""
    written = title[: _TITLE_BYTES + 1].encode("utf-8", "backslashreplace")  # fit for Parquet
    page_id = -1 - int.from_bytes(blake2b(written, digest_size=6).digest(), "big")
    return TurnedAway(page_id, None, written.decode(), gate, reason, "")


def _sent(title: str) -> str:
    """``title`` as it goes to the wiki, which names it in its answer just so."""
    return unicodedata.normalize("NFC", title).strip()


def _flaw(title: str) -> str | None:
    """What makes it impossible to ask for ``title`` at all. The wiki judges everything else."""
    sent = _sent(title)
    if not sent:
        return "an empty title"
    if not sent.isprintable():  # which lone surrogates are not, either
        return "a title with a control character"
    if len(sent.encode()) > _TITLE_BYTES:
        return f"a title of more than {_TITLE_BYTES} bytes"
    return None


def _batches(titles: Iterable[str]) -> Iterator[list[str]]:
    """``titles`` in lists that fit a request, by number and by length."""
    batch: list[str] = []
    room = _TITLES_BYTES
    for title in titles:
        length = len(quote(_sent(title), errors="replace")) + len(quote(_SEPARATOR))
        if batch and (len(batch) == _TITLES or length > room):
            yield batch
            batch, room = [], _TITLES_BYTES
        batch.append(title)
        room -= length
    if batch:
        yield batch


def _ahead(do: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """``do`` of each item in order, by ``workers`` threads that run at most twice their number ahead."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="wiki")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(do, item))
            if len(waiting) == 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)

"""What other nights have taken of a wiki: no revision of a page is worth two nights' money."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ultralink.schemas import ARTICLE_REJECTS, ARTICLES, SELECTION, Stage
from ultralink.stages.night import Night
from ultralink.wikipedia.article import Candidate
from ultralink.wikipedia.selection import Chosen, selected


class Taken:
    """The choices of all other nights of the language.

    The wiki moves on between a choice and its reading, so a night may hold a later revision than it chose: both
    count as taken.
    """

    def __init__(self, night: Night) -> None:
        self._night = night
        self._dates: defaultdict[int, set[str]] = defaultdict(set)
        self.chosen: set[Chosen] = set()
        for date in night.store.dates(SELECTION, night.language):
            if date != night.date:
                for row in night.store.part(SELECTION, night.language, date).rows(["page_id", "title", "revision_id"]):
                    candidate = selected(row)
                    self.chosen.add((candidate.page_id, candidate.revision_id))
                    self._dates[candidate.page_id].add(date)

    def __contains__(self, page_id: int) -> bool:
        return page_id in self._dates

    def repeated(self, candidates: Iterable[Candidate]) -> set[Chosen]:
        """Those of ``candidates`` that another night has chosen or read at the same revision."""
        again = {each.page_id: each for each in candidates if each.page_id in self._dates}
        held: defaultdict[str, dict[int, int | None]] = defaultdict(dict)
        for date in {date for page_id in again for date in self._dates[page_id]}:
            held[date] = self._held(date, again.keys())
        return {
            (page_id, each.revision_id)
            for page_id, each in again.items()
            if (page_id, each.revision_id) in self.chosen
            or any(held[date].get(page_id) == each.revision_id for date in self._dates[page_id])
        }

    def _held(self, date: str, page_ids: Iterable[int]) -> dict[int, int | None]:
        """The revisions at which another night has read these pages."""
        wanted, held = set(page_ids), dict[int, int | None]()
        for stage in (ARTICLES, ARTICLE_REJECTS):
            for page_id, revision_id in self._read(stage, date):
                if page_id in wanted:
                    held[page_id] = revision_id
        return held

    def _read(self, stage: Stage, date: str) -> Iterable[Chosen]:
        for part in self._night.store.parts(stage, self._night.language, date):
            if stage is ARTICLES:
                for row in part.rows(["page_id", "revision_id"]):
                    yield row["page_id"], row["revision_id"]  # type: ignore[misc]
            else:
                for row in part.rows(["source"]):
                    yield row["source"]["page_id"], row["source"]["revision_id"]  # type: ignore[index]

"""What the Action API answers to action=query (formatversion=2), as far as we read it."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from pydantic import BaseModel, ConfigDict

# TextExtracts keeps a text under the second in which its page was touched. A text fetched between two edits
# in one second is then given for the second edit too, so revisions this close do not vouch for an extract.
_SAME_TOUCH = timedelta(seconds=5)


class Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Slot(Answer):
    content: str | None = None


class Revision(Answer):
    revid: int
    timestamp: datetime | None = None
    slots: dict[str, Slot] = {}


class Category(Answer):
    title: str


class Entry(Answer):
    """A page, or what the wiki says in its place."""

    title: str = ""
    pageid: int | None = None
    ns: int = 0
    missing: bool = False
    invalid: bool = False
    invalidreason: str = ""
    redirect: bool = False
    lastrevid: int | None = None
    extract: str | None = None
    revisions: tuple[Revision, ...] = ()
    categories: tuple[Category, ...] = ()
    pageprops: dict[str, str] = {}

    @property
    def wikitext(self) -> str | None:
        """The latest revision's wikitext; None where it was not asked for, or is hidden."""
        main = self.revisions[0].slots.get("main") if self.revisions else None
        return main.content if main else None

    def with_more(self, later: Entry) -> Entry:
        """This entry with what a continuation adds. A late extract brings the revisions of its own answer."""
        of_text = self if self.extract is not None or later.extract is None else later
        return self.model_copy(
            update={
                "categories": self.categories + later.categories,
                "extract": of_text.extract,
                "lastrevid": of_text.lastrevid,
                "revisions": of_text.revisions,
            }
        )

    def vouches_for_extract(self) -> bool:
        """Does the extract surely belong to the latest revision?

        ``lastrevid`` was read before the text was made and ``revisions`` after it, see `ApiWiki`.
        """
        times = [revision.timestamp for revision in self.revisions]
        if not times or self.lastrevid != self.revisions[0].revid or None in times:
            return False
        return not any(later - sooner < _SAME_TOUCH for later, sooner in pairwise(filter(None, times)))


class Step(Answer):
    """A title that stands for another: normalized, converted to another script, or redirected."""

    from_: str
    to: str

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=lambda name: name.rstrip("_"))


class Query(Answer):
    pages: tuple[Entry, ...] = ()
    normalized: tuple[Step, ...] = ()
    converted: tuple[Step, ...] = ()
    redirects: tuple[Step, ...] = ()


class Reply(Answer):
    query: Query = Query()
    continue_: dict[str, str | int] = {}

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=lambda name: name.rstrip("_"))

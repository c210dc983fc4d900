"""The browser: lists of samples and rejects by filter, and one row as a conversation beside what it comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated
from urllib.parse import urlencode

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Request
from fastapi import Query as Asked
from fastapi.responses import RedirectResponse, Response

from ultralink.dataset import Reject, Sample
from ultralink.errors import PartMissing, RowMissing
from ultralink.insight import browse, evidence
from ultralink.insight.browse import Place, Query, RowKind
from ultralink.insight.verdicts import MOST_NOTE, Fault, VerdictBook, seen
from ultralink.store import Store
from ultralink_airflow.page import security, view
from ultralink_airflow.page.shelf import Shelf

router = APIRouter()

FAULTS = {
    Fault.UNGROUNDED: "says what the passage doesn't",
    Fault.UNFAITHFUL: "translated wrongly",
    Fault.LANGUAGE: "wrong or unnatural language",
    Fault.OTHER: "something else",
}


class Filter:
    """The filter of an address; what no row could have is a 404."""

    def __init__(
        self,
        languages: security.Languages,
        language: str = "",
        date: str = "",
        kind: str = "samples",
        subset: Annotated[str, Asked(max_length=80)] = "",
        gate: Annotated[str, Asked(max_length=80)] = "",
        score: Annotated[str, Asked(max_length=80)] = "",
        low: Annotated[str, Asked(max_length=20)] = "",
        high: Annotated[str, Asked(max_length=20)] = "",
        q: Annotated[str, Asked(max_length=browse.MOST_TEXT)] = "",
    ) -> None:
        self.languages = languages
        self.language = security.known_language(language, languages) if language else next(iter(languages), "")
        if kind not in list(RowKind):
            raise view.not_found("There are samples and rejects, and no other kind of rows.")
        self.kind = RowKind(kind)
        self.given = {
            "subset": subset,
            "gate": gate if self.kind is RowKind.REJECTS else "",
            "score": score if self.kind is RowKind.SAMPLES else "",
            "low": low if self.kind is RowKind.SAMPLES else "",
            "high": high if self.kind is RowKind.SAMPLES else "",
            "q": q,
        }
        self.date = date

    def query(self) -> Query:
        """What is asked of the store."""
        given = self.given
        try:
            return Query(
                language=self.language,
                kind=self.kind,
                date=self.date,
                subset=given["subset"],
                gate=given["gate"],
                score=given["score"],
                low=_number(given["low"]),
                high=_number(given["high"]),
                text=given["q"],
            )
        except ValueError:
            raise view.not_found("The filter asks for something that no row can have.") from None

    def address(self, **changes: object) -> str:
        """The filter as a query string, with other or more fields."""
        fields = {"language": self.language, "kind": self.kind.value, "date": self.date, **self.given, **changes}
        return urlencode({name: value for name, value in fields.items() if value not in ("", None)})


Filtered = Annotated[Filter, Depends(Filter)]


def _number(text: str) -> float | None:
    return float(text.replace(",", ".")) if text.strip() else None


def _place(text: str) -> Place | None:
    try:
        return Place.parse(text) if text else None
    except ValueError:
        raise view.not_found("There is no such page.") from None


@router.get("/browse")
def rows(
    request: Request, store: Shelf, user: GetUserDep, asked: Filtered, page: str = "", back: bool = False
) -> Response:
    """A page of rows."""
    if not asked.language:
        return view.page(request, "browser.html", asked=asked, choices=None, found=None, marks={}, shown=evidence.shown)
    query = asked.query()
    found = browse.page(store, query, _place(page), backward=back)
    judged = VerdictBook(store).marks(
        query.language, query.kind, [(row.place.date, row.id) for row in found.rows], user.get_name()
    )
    return view.page(
        request,
        "browser.html",
        asked=asked,
        choices=browse.choices(store, query.language, query.kind, query.date),
        found=found,
        marks=judged,
        shown=evidence.shown,
    )


@router.get("/browse/step")
def step(request: Request, store: Shelf, asked: Filtered, page: str, back: bool = False) -> Response:
    """From a row to the next one that the filter lets through, or the one before it."""
    query, here = asked.query(), _place(page)
    if here is None:
        raise view.not_found("There is no such page.")
    start = here if back else replace(here, number=here.number + 1)
    found = browse.page(store, query, start, backward=back, size=1)
    root = request.scope.get("root_path", "")
    if found.rows:
        to = f"{row_path(asked.language, asked.kind, found.rows[0].place)}?{asked.address()}"
    elif found.stopped:
        to = f"/browse?{asked.address(page=found.before if back else found.after, back=1 if back else '')}"
    else:
        to = f"{row_path(asked.language, asked.kind, here)}?{asked.address(end='first' if back else 'last')}"
    return RedirectResponse(root + to, 303)


def row_path(language: str, kind: RowKind, place: Place) -> str:
    """The address of a row within the page."""
    return f"/rows/{language}/{place.date}/{kind.value}/{place.number}"


@router.get("/rows/{language}/{night}/{kind}/{number}")
def row(
    request: Request,
    store: Shelf,
    user: GetUserDep,
    asked: Filtered,
    night: str,
    number: str,
    whole: bool = False,
    end: str = "",
    judged: Annotated[str, Asked(max_length=10_000)] = "",
) -> Response:
    """One row. Language and kind of the filter are those of the row's address; the rest tells where "next" leads.

    ``judged``: the id of the row that a verdict was given of; a night that was made anew may have another one here.
    """
    place = _place(f"{night}.{number}")
    assert place is not None  # noqa: S101  # the text is never empty
    found = find_row(store, asked.language, asked.kind, place)
    verdict = VerdictBook(store).of(asked.language, night, asked.kind, found.id, user.get_name())
    return view.page(
        request,
        "dialogue.html",
        asked=asked,
        row=found,
        place=place,
        is_reject=isinstance(found, Reject),
        told=evidence.conversation(found, whole=whole),
        link=evidence.revision_link(found),
        shown=evidence.shown,
        seen=seen(found),
        verdict=verdict,
        is_same=verdict is not None and verdict.is_of(found),
        faults=FAULTS,
        most_note=MOST_NOTE,
        may_judge=security.may_write(user, asked.language),
        here=row_path(asked.language, asked.kind, place),
        whole=whole,
        end=end,
        moved=judged if judged and judged != found.id else "",
    )


def find_row(store: Store, language: str, kind: RowKind, place: Place) -> Sample | Reject:
    """The row, or the 404 page that says what is not there."""
    try:
        return browse.read_row(store, language, kind, place)
    except PartMissing:
        raise view.not_found(f"There is no night {place.date} of this language.") from None
    except RowMissing:
        raise view.not_found(f"The night has no such row: there is none with the number {place.number}.") from None

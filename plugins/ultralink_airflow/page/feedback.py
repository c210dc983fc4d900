"""Feedback: a thumb and a note for a row, kept on the store, and all of them exported as labelled sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal
from urllib.parse import unquote, urlencode

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from ultralink.insight import evidence
from ultralink.insight.browse import Place, RowKind
from ultralink.insight.verdicts import MOST_NOTE, Fault, Sought, Thumb, VerdictBook, judge_items, judged, seen
from ultralink_airflow.page import security, view
from ultralink_airflow.page.browser import FAULTS, Filter, find_row, row_path
from ultralink_airflow.page.shelf import Shelf

router = APIRouter()

_PAGE = 50  # verdicts in a list
# Line ends to some readers of lines, but not to JSON, which lets them stand as they are.
_NO_LINES = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}


class ExportForm(StrEnum):
    """What a line of the export is."""

    ROWS = "rows"  # a verdict with the row that it is of
    JUDGE = "judge"  # an item of include/judge/<code>.yaml


@dataclass(frozen=True)
class Asked:
    """The filter of the list, and how many verdicts to leave out."""

    language: str
    sought: Sought
    skip: int

    def address(self, **changes: object) -> str:
        """The filter as a query string, with other or more fields."""
        fields = {"language": self.language, "date": self.sought.date, "user": self.sought.user, **changes}
        fields.setdefault("thumb", self.sought.thumb)
        return urlencode({name: value for name, value in fields.items() if value not in ("", None, 0)})


@router.get("/verdicts")
def verdicts(
    request: Request,
    store: Shelf,
    user: GetUserDep,
    languages: security.Languages,
    language: str = "",
    date: str = "",
    by: Annotated[str, Query(alias="user", max_length=250)] = "",
    thumb: Annotated[Literal["up", "down", ""], Query()] = "",
    skip: Annotated[int, Query(ge=0, lt=10**6)] = 0,
) -> Response:
    """What people said of rows, the newest first."""
    code = security.known_language(language, languages) if language else next(iter(languages), "")
    try:
        asked = Asked(code, Sought(date=date, user=by, thumb=Thumb(thumb) if thumb else None), skip)
    except ValueError:
        raise view.not_found("There is no such night.") from None
    told = VerdictBook(store).told(code) if code else []
    found = [one for one in told if asked.sought.fits(one.verdict)]
    return view.page(
        request,
        "verdicts.html",
        asked=asked,
        languages=languages,
        found=found[skip : skip + _PAGE],
        total=len(found),
        more=skip + _PAGE if len(found) > skip + _PAGE else None,
        fewer=max(0, skip - _PAGE) if skip else None,
        dates=sorted({one.verdict.date for one in told}, reverse=True),
        users=sorted({one.verdict.user for one in told}),
        me=user.get_name(),
        may_judge=bool(code) and security.may_write(user, code),
        row_path=row_path,
        shown=evidence.shown,
        faults=FAULTS,
    )


@router.post("/verdicts/withdraw", dependencies=[Depends(security.same_origin)])
def withdraw(
    request: Request,
    store: Shelf,
    user: GetUserDep,
    languages: security.Languages,
    language: Annotated[str, Form()],
    night: Annotated[str, Form()],
    kind: Annotated[RowKind, Form()],
    row_id: Annotated[str, Form(max_length=30_000)],
) -> Response:
    """Forget the user's own verdict of a row, which need not be there any more; ``row_id`` is percent-encoded."""
    code = security.known_language(language, languages)
    security.demand_write(user, code)
    try:
        VerdictBook(store).take_back(code, night, kind, unquote(row_id), user.get_name())
    except ValueError:
        raise view.not_found("There is no such night.") from None
    to = f"/verdicts?{urlencode({'language': code})}"
    return RedirectResponse(request.scope.get("root_path", "") + to, 303)


@router.post("/verdicts", dependencies=[Depends(security.same_origin)])
def give(
    request: Request,
    store: Shelf,
    user: GetUserDep,
    languages: security.Languages,
    language: Annotated[str, Form()],
    night: Annotated[str, Form()],
    kind: Annotated[RowKind, Form()],
    number: Annotated[int, Form(ge=0, lt=10**9)],
    shown: Annotated[str, Form(max_length=64)],
    thumb: Annotated[Literal["up", "down", "none"], Form()],
    fault: Annotated[Fault, Form()] = Fault.NONE,
    answer: Annotated[str, Form(pattern=r"^[0-9]{0,4}$")] = "",
    note: Annotated[str, Form(max_length=2 * MOST_NOTE)] = "",
) -> Response:
    """Keep the user's verdict of a row ("none" takes it back), and show the row again.

    ``shown`` says what the user was shown: a row that has changed since is a conflict.
    """
    code = security.known_language(language, languages)
    security.demand_write(user, code)
    try:
        place = Place.parse(f"{night}.{number}")
    except ValueError:
        raise view.not_found("There is no such night.") from None
    row = find_row(store, code, kind, place)
    if seen(row) != shown:
        raise HTTPException(409, "The night was made anew while you read: look at the row again before you judge it.")
    book = VerdictBook(store)
    if thumb == "none":
        book.take_back(code, place.date, kind, row.id, user.get_name())
    else:
        try:
            verdict = judged(
                row,
                place,
                user=user.get_name(),
                time=datetime.now(UTC),
                thumb=Thumb(thumb),
                fault=fault,
                answer=int(answer) if answer else None,
                note=note.replace("\r\n", "\n"),  # as forms send line breaks
            )
        except ValueError:
            raise HTTPException(400, "The row has no such answer, or the note is too long.") from None
        book.put(verdict)
    # Fields of the form are not the filter: that is in the address that the form was sent to.
    asked = Filter(languages, code, kind=kind.value, **_filter_fields(request))
    to = f"{row_path(code, kind, place)}?{asked.address()}#verdict"
    return RedirectResponse(request.scope.get("root_path", "") + to, 303)


def _filter_fields(request: Request) -> dict[str, str]:
    names = ("date", "subset", "gate", "score", "low", "high", "q")
    return {name: request.query_params[name][:200] for name in names if name in request.query_params}


@router.get("/verdicts.jsonl")
def export(
    store: Shelf,
    languages: security.Languages,
    language: str,
    date: str = "",
    form: ExportForm = ExportForm.ROWS,
) -> Response:
    """All verdicts of a language (or one of its nights), a JSON object per line."""
    code = security.known_language(language, languages)
    try:
        verdicts = VerdictBook(store).all(code, date)
    except ValueError:
        raise view.not_found("There is no such night.") from None

    def lines() -> Iterator[str]:
        found = judge_items(verdicts) if form is ExportForm.JUDGE else verdicts
        for one in found:
            yield one.model_dump_json().translate(_NO_LINES) + "\n"

    name = f"verdicts-{code}{f'-{date}' if date else ''}{'-judge' if form is ExportForm.JUDGE else ''}.jsonl"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=headers)

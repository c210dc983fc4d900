"""The page's app: its routes behind the user's session, its headers, its error pages."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware import Middleware

from ultralink.errors import UltraLinkError
from ultralink_airflow.page import browser, feedback, overview, release, run
from ultralink_airflow.page.security import signed_in
from ultralink_airflow.page.shelf import StoreDown, place
from ultralink_airflow.page.view import FOLDER, not_found, page

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

_STATIC = {path.name: path for path in (FOLDER / "static").iterdir() if path.is_file()}

# Only what this app serves: no other host, no script or style within a page, framed by Airflow's own UI alone.
_POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class SafeHeaders:
    """Adds the security headers to every answer of a route, errors that are foreseen included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                more = _HEADERS if b"cache-control" in names else {**_HEADERS, "cache-control": "private, no-store"}
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in more.items()),
                ]
            await send(message)

        await self.app(scope, receive, send_with_headers)


_TITLES = {
    401: ("Please log in", "This page needs your Airflow session. Log in, then come back."),
    403: ("Not for you", "You lack the right to see or do this."),
    404: ("Nothing here", "There is no such page."),
    405: ("Nothing here", "There is no such page."),
    422: ("Nothing here", "The address names something that cannot exist."),
    503: ("The store does not answer", "The page reads the store, and the store does not answer."),
}


def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, StarletteHTTPException) else 500
    title, usual = _TITLES.get(status, ("Something broke", "The API server's log says what."))
    told = error.detail if isinstance(error, StarletteHTTPException) else ""
    line = told if isinstance(told, str) and told.endswith(".") else usual
    return page(request, "error.html", status=status, title=title, line=line, detail="", code=status)


def _bad_request(request: Request, error: Exception) -> Response:
    title, line = _TITLES[422]
    return page(request, "error.html", status=404, title=title, line=line, detail="", code=404)


def _store_down(request: Request, error: Exception) -> Response:
    log.warning("The store does not answer: %s", error)
    title, _ = _TITLES[503]
    line = f"The store should be at {place()}. Runs may fail too until it answers again; nothing is lost."
    return page(request, "error.html", status=503, title=title, line=line, detail=str(error), code=503)


def _broken_data(request: Request, error: Exception) -> Response:
    log.warning("%s", error)
    line = "Something in the store cannot be read. What was said of it:"
    return page(request, "error.html", status=500, title="Damaged data", line=line, detail=str(error)[:300], code=500)


def _unforeseen(request: Request, error: Exception) -> Response:
    """Sent by the outermost layer, which `SafeHeaders` is within; it raises the error again, for the log."""
    answer = _http_error(request, error)
    answer.headers.update({**_HEADERS, "cache-control": "private, no-store"})
    return answer


def static(name: str) -> Response:
    """One of the page's own files."""
    if name not in _STATIC:
        raise not_found("There is no such file.")
    return FileResponse(_STATIC[name], headers={"cache-control": "private, max-age=300"})


def nowhere(path: str) -> Response:
    """Every other address: a 404 behind the session, like all else."""
    raise not_found("There is no such page.")


def build() -> FastAPI:
    """The app, to be mounted by Airflow's API server."""
    made = FastAPI(
        title="UltraLink",
        dependencies=[Depends(signed_in)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        middleware=[Middleware(SafeHeaders)],
    )
    for part in (overview, run, release, browser, feedback):
        made.include_router(part.router)
    made.get("/static/{name}")(static)
    made.get("/{path:path}")(nowhere)
    made.add_exception_handler(StarletteHTTPException, _http_error)
    made.add_exception_handler(HTTPException, _http_error)
    made.add_exception_handler(RequestValidationError, _bad_request)
    made.add_exception_handler(StoreDown, _store_down)
    made.add_exception_handler(UltraLinkError, _broken_data)
    made.add_exception_handler(Exception, _unforeseen)
    return made


app = build()

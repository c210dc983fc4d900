"""Pages out of templates: everything escaped, addresses computed, one frame around all."""

from __future__ import annotations

from pathlib import Path

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ultralink_airflow.page import figures, links

FOLDER = Path(__file__).parent

_templates = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters.update(count=figures.count, usd=figures.usd, share=figures.share, short=figures.short)
_templates.filters.update(
    seconds=figures.seconds, clip=figures.clip, groupby_month=figures.months, instant=figures.instant
)
_templates.globals.update(dag_view=links.dag_view, run_view=links.run_view, task_view=links.task_view)
_templates.globals.update(login_view=links.login_view)


def not_found(what: str) -> HTTPException:
    """The friendly 404: ``what`` is a sentence for a person."""
    return HTTPException(404, what)


def page(request: Request, template: str, *, status: int = 200, **context: object) -> HTMLResponse:
    """The page that ``template`` makes of ``context``; ``root`` in it is the page's own address, without slash."""
    html = _templates.get_template(template).render(
        root=request.scope.get("root_path", ""), path=request.url.path, **context
    )
    return HTMLResponse(html, status)

"""The tab of the English pool's Dag: the edition that languages draw from, its funnel, and all editions."""

from __future__ import annotations

from collections import Counter

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from ultralink.insight.damage import Damages
from ultralink.insight.funnel import rows_of
from ultralink.insight.nights import editions, published
from ultralink.insight.pool import POOL_STAGES, pool_funnels
from ultralink.insight.spending import spend_by_month
from ultralink.pool.row import Kind
from ultralink.pool.rows import LANGUAGE
from ultralink.stages.edition import pool_statistics_path
from ultralink.store import Store
from ultralink_airflow.page.run import source_kinds
from ultralink_airflow.page.runs import newest_runs
from ultralink_airflow.page.seen import Subject
from ultralink_airflow.page.view import page


def dag_tab(
    request: Request, session: Session, store: Store, subject: Subject, languages: list[str], runs: bool
) -> Response:
    """The tab. ``runs``: whether the user may see those of this Dag."""
    damages = Damages()
    known = editions(store)
    for date, edition in known.items():
        if edition is None:
            unread = ValueError("its figures cannot be read")
            damages.note(pool_statistics_path(store, date), unread, "clear the publish task of that date")
    sound = [edition for _, edition in sorted(known.items(), reverse=True) if edition is not None]
    current = sound[0] if sound else None
    found = []
    if current:
        rows = rows_of(store, LANGUAGE, current.date, damages, POOL_STAGES)
        found = pool_funnels(store, current.date, rows, current, source_kinds(), damages)
    nights = (night for code in languages for night in published(store).get(code, {}).values() if night is not None)
    return page(
        request,
        "pool.html",
        subject=subject,
        current=current,
        editions=sound,
        kinds=list(Kind),
        funnels=found,
        used=Counter(night.pool for night in nights),
        spend=spend_by_month(sound),
        runs=newest_runs(session, subject.dag_id) if runs else [],
        with_runs=runs,
        damages=damages.lines,
    )

"""Figures as people read them: 12,345 · 1.2M · $3.40 · 12% · 1.5 s."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import groupby
from typing import NamedTuple

NONE = "–"


def count(number: float | None) -> str:
    """A whole number with thousands separated."""
    return NONE if number is None else f"{number:,.0f}"


def short(number: float | None) -> str:
    """A number in at most four signs and a unit: 950, 9.5K, 1.2M."""
    if number is None:
        return NONE
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "K")):
        if number >= size:
            value = number / size
            return f"{value:.0f}{unit}" if value >= 100 else f"{value:.1f}".removesuffix(".0") + unit
    return f"{number:.0f}"


def usd(amount: float | None) -> str:
    """An amount in USD; small ones keep parts of a cent. None: a model without a known price took part."""
    if amount is None:
        return NONE
    if 0 < amount < 0.1:
        return f"${amount:.4f}"
    return f"${amount:,.2f}"


def share(part: float | None) -> str:
    """A share of one, as per cent."""
    if part is None:
        return NONE
    return f"{part:.1%}" if 0 < part < 0.1 else f"{part:.0%}"


def seconds(time: float | None) -> str:
    """A duration in s, with the part that matters: 350 ms, 2.4 s, 3 min 5 s, 2 h 10 min."""
    if time is None:
        return NONE
    if time < 1:
        return f"{time * 1000:.0f} ms"
    if time < 60:
        return f"{time:.1f} s"
    minutes, rest = divmod(round(time), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def instant(text: str) -> str:
    """A moment in ISO 8601, as elsewhere on the page: 2026-11-23 19:26:35 UTC. What is none stays what it is."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError):
        return text


def clip(text: str, letters: int) -> str:
    """At most so many letters of a text that may be long."""
    return text if len(text) <= letters else f"{text[:letters]} …"


class Month(NamedTuple):
    """A month above the days that it has in a table."""

    name: str
    days: int


def months(dates: Iterable[str]) -> list[Month]:
    """The months of consecutive ``dates``, as 2026-11-23."""
    groups = ((month, len(list(days))) for month, days in groupby(dates, key=lambda day: day[:7]))
    return [Month(f"{date.fromisoformat(f'{month}-01'):%b %Y}" if days > 2 else "", days) for month, days in groups]

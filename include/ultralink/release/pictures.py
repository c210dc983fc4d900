"""The pictures of a card: what each shows, and how; one without data is not drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ultralink.release import paper
from ultralink.release.fonts import fonts_for
from ultralink.release.plots import (
    MARGIN,
    NORMAL,
    ROW,
    SMALL,
    THEMES,
    WIDTH,
    Sheet,
    Style,
    compact,
    files_of,
    share,
    text_on,
)
from ultralink.release.recipe import SUBSETS
from ultralink.release.statistics import SCORE_BINS, Lengths, ReleaseStatistics, Topics

_COLUMN = (WIDTH - 3 * MARGIN) / 2  # inches of one of two columns
_MOST_BARS = 14
_MANY_LANGUAGES = 6  # with more, each gets fewer categories
_MOST_TURNS = 7  # and more are one
_AXIS = 0.3  # inches below rows, for the numbers of their axis


class Picture(NamedTuple):
    """What a picture is called, what it says, and how it is drawn: ``draw`` gives None where there is nothing."""

    name: str
    alt: str
    draw: Callable[[ReleaseStatistics, Style], Figure | None]


class Drawn(NamedTuple):
    """A file of a picture."""

    picture: Picture
    path: str  # within the release
    content: bytes


def draw_all(statistics: ReleaseStatistics) -> Iterator[Drawn]:
    """Every picture that has data, in light and dark, as PNG and SVG, one file at a time."""
    fonts = fonts_for(_texts(statistics))
    for picture in PICTURES:
        for theme in THEMES:
            figure = picture.draw(statistics, Style(theme, fonts))
            if figure is not None:
                for name, content in files_of(figure, f"{picture.name}-{theme.name}"):
                    yield Drawn(picture, f"plots/{name}", content)


def _texts(statistics: ReleaseStatistics) -> Iterator[str]:
    """All that comes from data and is written in a picture."""
    for topics in statistics.topics:
        yield from (category.name for category in topics.top)
    yield from (model.model for model in statistics.models)
    yield from statistics.left_out
    yield from (rejected.gate for rejected in statistics.rejected)


def _subset_name(subset: str) -> str:
    return subset.replace("_", " ")


# --- dialogues ------------------------------------------------------------------------------------


def _dialogues(statistics: ReleaseStatistics, style: Style) -> Figure:
    languages = statistics.languages
    panel = 0.62 + len(languages) * ROW + _AXIS
    sheet = Sheet(style, "Dialogues by language and subset", "On a logarithmic scale", 0.12 + 2 * panel)
    sheet.text(2.05, 0.48, "● this release", size=NORMAL, color=style.theme.hues[0])
    sheet.text(3.25, 0.48, "◇ the paper", size=NORMAL, color=style.theme.muted)
    most = max(each.lengths.dialogues for each in statistics.configurations)
    most = max(most, *(paper.dialogues(language, subset) or 0 for language in languages for subset in SUBSETS))
    for number, subset in enumerate(SUBSETS):
        left = MARGIN + (number % 2) * (_COLUMN + MARGIN)
        _dialogues_of(sheet, statistics, subset, left, 0.75 + (number // 2) * panel, most)
    return sheet.figure


def _dialogues_of(sheet: Sheet, statistics: ReleaseStatistics, subset: str, left: float, top: float, most: int) -> None:
    theme, languages = sheet.theme, statistics.languages
    sheet.text(left, top + 0.2, _subset_name(subset), size=NORMAL, weight="bold")
    ours_at, papers_at = left + _COLUMN - 0.62, left + _COLUMN - 0.08
    sheet.text(ours_at, top + 0.2, "release", size=SMALL, color=theme.hues[0], align="right")
    sheet.text(papers_at, top + 0.2, "paper", size=SMALL, color=theme.muted, align="right")
    axes = sheet.rows(left + 0.45, top + 0.38, _COLUMN - 0.45 - 1.25, len(languages))
    axes.set_xscale("log")
    axes.set_xlim(0.7, max(most, 10) * 1.6)
    axes.xaxis.set_major_locator(LogLocator(base=100))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
    for row, language in enumerate(languages):
        middle = top + 0.38 + (row + 0.5) * ROW
        each = statistics.configuration(language, subset)
        ours, theirs = each.lengths.dialogues if each else 0, paper.dialogues(language, subset)
        sheet.text(left, middle, language)
        sheet.text(ours_at, middle, compact(ours), align="right")
        sheet.text(papers_at, middle, compact(theirs) if theirs else "–", color=theme.muted, align="right")
        if ours and theirs:
            axes.plot([ours, theirs], [row, row], color=theme.pale, linewidth=1.4, zorder=2)
        if theirs:
            axes.plot(theirs, row, "D", markersize=5, markerfacecolor=theme.background, markeredgecolor=theme.muted)
        if ours:
            axes.plot(ours, row, "o", markersize=6.5, color=theme.hues[0], markeredgewidth=0, zorder=4)


# --- turns and tokens -----------------------------------------------------------------------------


def _turns(statistics: ReleaseStatistics, style: Style) -> Figure | None:
    subsets = [
        subset for subset in SUBSETS
        if any(each.subset == subset and max(each.turns, default=1) > 1 for each in statistics.filled)
    ]  # fmt: skip
    if not subsets:
        return None
    rows = {subset: [each for each in statistics.filled if each.subset == subset] for subset in subsets}
    height = 0.3 + sum(0.5 + len(found) * (ROW + 0.03) for found in rows.values())
    sheet = Sheet(style, "Turns of a dialogue", "Share of the dialogues that have so many turns", height)
    shades = style.theme.shades
    names = [*(str(turns) for turns in range(1, _MOST_TURNS)), f"{_MOST_TURNS} or more turns"]
    sheet.key(MARGIN, 0.8, list(zip(shades, names, strict=True)))
    top = 1.0
    for subset, found in rows.items():
        sheet.text(MARGIN, top + 0.2, _subset_name(subset), weight="bold")
        sheet.text(WIDTH - MARGIN, top + 0.2, "mean", size=SMALL, color=style.theme.muted, align="right")
        axes = sheet.axes(0.6, top + 0.36, WIDTH - 0.6 - 0.7, len(found) * (ROW + 0.03))
        axes.set_xticks([])
        axes.set_xlim(0, 1)
        axes.set_ylim(len(found) - 0.5, -0.5)
        for row, each in enumerate(found):
            middle = top + 0.36 + (row + 0.5) * (ROW + 0.03)
            sheet.text(MARGIN, middle, each.language)
            mean = each.lengths.turns / each.lengths.dialogues
            sheet.text(WIDTH - MARGIN, middle, f"{mean:.2f}", align="right")
            _turn_bar(axes, row, each.turns, shades)
        top += 0.5 + len(found) * (ROW + 0.03)
    return sheet.figure


def _turn_bar(axes: Axes, row: int, turns: dict[int, int], shades: Sequence[str]) -> None:
    pooled: Counter[int] = Counter()
    for count, rows in turns.items():
        pooled[min(count, _MOST_TURNS)] += rows
    start = 0.0
    for count in sorted(pooled):
        part, color = pooled[count] / pooled.total(), shades[count - 1]
        axes.barh(row, part, 0.78, left=start, color=color, edgecolor=axes.figure.get_facecolor(), linewidth=0.6)
        if part >= 0.06:
            label = share(pooled[count], pooled.total())
            axes.text(start + part / 2, row, label, ha="center", va="center", fontsize=SMALL, color=text_on(color))
        start += part


def _tokens(statistics: ReleaseStatistics, style: Style) -> Figure | None:
    rows = {subset: [each for each in statistics.filled if each.subset == subset] for subset in SUBSETS}
    most = max((each.lengths.mean_turn_tokens or 0 for each in statistics.filled), default=0)
    if not most:
        return None
    panels = [subset for subset in SUBSETS if rows[subset]]
    lines = [panels[start : start + 2] for start in range(0, len(panels), 2)]
    heights = [0.42 + max(len(rows[subset]) for subset in line) * ROW + _AXIS for line in lines]
    sheet = Sheet(style, "Mean tokens of a turn", f"Question and answer, {statistics.tokenizer}", 0.3 + sum(heights))
    question, answer = style.theme.shades[2], style.theme.hues[0]
    theirs = f"the paper's mean over everything: {paper.ULTRALINK.turn_tokens:.0f}"
    sheet.key(MARGIN, 0.8, [(question, "question"), (answer, "answer"), (style.theme.hues[1], theirs)])
    top = 1.0
    for line, height in zip(lines, heights, strict=True):
        for number, subset in enumerate(line):
            left = MARGIN + number * (_COLUMN + MARGIN)
            sheet.text(left, top + 0.2, _subset_name(subset), weight="bold")
            axes = sheet.rows(left + 0.45, top + 0.36, _COLUMN - 1.0, len(rows[subset]))
            axes.set_xlim(0, max(most, paper.ULTRALINK.turn_tokens) * 1.04)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.axvline(paper.ULTRALINK.turn_tokens, color=style.theme.hues[1], linewidth=1.2, zorder=3)
            for row, each in enumerate(rows[subset]):
                middle = top + 0.36 + (row + 0.5) * ROW
                sheet.text(left, middle, each.language)
                _token_bar(axes, row, each.lengths, question, answer)
                total = each.lengths.mean_turn_tokens or 0
                sheet.text(left + _COLUMN - 0.05, middle, f"{total:,.0f}", align="right")
        top += height
    return sheet.figure


def _token_bar(axes: Axes, row: int, lengths: Lengths, question: str, answer: str) -> None:
    asked, answered = lengths.mean_question_tokens or 0, lengths.mean_answer_tokens or 0
    axes.barh(row, asked, 0.62, color=question)
    axes.barh(row, answered, 0.62, left=asked, color=answer)


# --- diversity and topics -------------------------------------------------------------------------


def _diversity(statistics: ReleaseStatistics, style: Style) -> Figure | None:
    measured = [each for each in statistics.filled if each.diversity.mtld is not None]
    languages = [language for language in statistics.languages if any(each.language == language for each in measured)]
    if not measured:
        return None
    sheet = Sheet(
        style,
        "Lexical diversity",
        "Means of single dialogues; further right is more diverse. Languages are not comparable with each other.",
        0.3 + 0.4 + len(languages) * ROW + _AXIS,
    )
    sheet.key(MARGIN, 0.8, [(hue, _subset_name(name)) for hue, name in zip(style.theme.hues, SUBSETS, strict=True)])
    for number, name in enumerate(("MTLD", "HD-D")):
        left = MARGIN + number * (_COLUMN + MARGIN)
        sheet.text(left + 0.45, 1.2, name, weight="bold")
        axes = sheet.rows(left + 0.45, 1.36, _COLUMN - 0.6, len(languages))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.margins(x=0.08)
        for row, language in enumerate(languages):
            sheet.text(left, 1.36 + (row + 0.5) * ROW, language)
            axes.axhline(row, color=style.theme.grid, linewidth=0.8)
        for each in measured:
            value = each.diversity.mtld if name == "MTLD" else each.diversity.hdd
            hue = style.theme.hues[SUBSETS.index(each.subset)]
            # One above the other, so that equal values do not hide each other.
            place = languages.index(each.language) + 0.11 * (SUBSETS.index(each.subset) - 1.5)
            if value is not None:
                axes.plot(value, place, "o", markersize=6, color=hue, markeredgecolor=style.theme.background, zorder=3)
    return sheet.figure


def _topics(statistics: ReleaseStatistics, style: Style) -> Figure | None:
    shown = [topics for topics in statistics.topics if topics.top]
    if not shown:
        return None
    most = 8 if len(shown) <= _MANY_LANGUAGES else 5
    lines = [shown[start : start + 2] for start in range(0, len(shown), 2)]
    heights = [0.62 + max(min(len(topics.top), most) for topics in line) * 0.37 for line in lines]
    sheet = Sheet(
        style,
        "What the grounded dialogues are about",
        "Share of the dialogues whose article is in a category of Wikipedia; the largest categories",
        0.05 + sum(heights),
    )
    widest = max(topics.top[0].share for topics in shown)
    top = 0.72
    for line, height in zip(lines, heights, strict=True):
        for number, topics in enumerate(line):
            _topics_of(sheet, topics, MARGIN + number * (_COLUMN + MARGIN), top, most, widest)
        top += height
    return sheet.figure


def _topics_of(sheet: Sheet, topics: Topics, left: float, top: float, most: int, widest: float) -> None:
    theme, shown = sheet.theme, topics.top[:most]
    sheet.text(left, top + 0.18, topics.language, weight="bold")
    spread = f"{topics.categories:,} categories, as diverse as {compact(topics.effective)} equal ones"
    sheet.text(left + _COLUMN - 0.1, top + 0.18, spread, size=SMALL, color=theme.muted, align="right")
    axes = sheet.axes(left, top + 0.36, _COLUMN - 0.1, len(shown) * 0.37)
    axes.set_xticks([])
    axes.set_xlim(0, widest)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    for row, category in enumerate(shown):
        axes.barh(row + 0.22, category.share, 0.16, color=theme.hues[0])
        middle = top + 0.36 + (row + 0.36) * 0.37
        sheet.data(left, middle, category.name, _COLUMN - 0.65)
        figure = share(category.rows, topics.rows)
        sheet.text(left + _COLUMN - 0.1, middle, figure, align="right", color=theme.muted)


# --- what went ------------------------------------------------------------------------------------


class _Bar(NamedTuple):
    label: str
    parts: Sequence[tuple[float, str]]  # size, colour
    figure: str


def _bars(sheet: Sheet, top: float, bars: Sequence[_Bar], label_width: float = 2.3, figure_width: float = 1.2) -> None:
    """Horizontal bars of several parts, their labels at the left and their figures at the right."""
    axes = sheet.rows(MARGIN + label_width, top, WIDTH - 2 * MARGIN - label_width - figure_width, len(bars))
    axes.set_xlim(0, max(sum(size for size, _ in bar.parts) for bar in bars) * 1.02 or 1)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
    for row, bar in enumerate(bars):
        middle = top + (row + 0.5) * ROW
        sheet.data(MARGIN, middle, bar.label, label_width - 0.15)
        sheet.text(WIDTH - MARGIN, middle, bar.figure, align="right")
        start = 0.0
        for size, color in bar.parts:
            axes.barh(row, size, 0.62, left=start, color=color)
            start += size


def _removed(statistics: ReleaseStatistics, style: Style) -> Figure | None:
    if not statistics.removed:
        return None
    found = _most_of(statistics.left_out)
    sheet = Sheet(
        style,
        "Samples that the release leaves out",
        f"{compact(sum(statistics.left_out.values()))} of {compact(statistics.samples)}, by what was found",
        len(found) * ROW + _AXIS,
    )
    bars = [
        _Bar(label, [(rows, style.theme.hues[0])], f"{compact(rows)}  ·  {share(rows, statistics.samples)}")
        for label, rows in found
    ]
    _bars(sheet, 0.72, bars)
    return sheet.figure


def _rejects(statistics: ReleaseStatistics, style: Style) -> Figure | None:
    gates: Counter[str] = Counter()
    parts: Counter[tuple[str, str]] = Counter()
    for rejected in statistics.rejected:
        gates[rejected.gate] += rejected.rows
    if not gates:
        return None
    found = _most_of(gates)
    named = {gate for gate, _ in found}
    for rejected in statistics.rejected:
        parts[rejected.gate if rejected.gate in named else _OTHERS, rejected.subset] += rejected.rows
    subsets = [subset for subset in SUBSETS if any(parts[gate, subset] for gate in named)]
    hues = dict(zip(SUBSETS, style.theme.hues, strict=True))
    sheet = Sheet(
        style,
        "Rows that the gates turned away",
        f"{compact(gates.total())} while the nights were made, by gate",
        0.25 + len(found) * ROW + _AXIS,
    )
    sheet.key(MARGIN, 0.78, [(hues[subset], _subset_name(subset)) for subset in subsets])
    bars = [
        _Bar(gate, [(parts[gate, subset], hues[subset]) for subset in subsets], compact(rows)) for gate, rows in found
    ]
    _bars(sheet, 0.97, bars, figure_width=0.7)
    return sheet.figure


_OTHERS = "all others"


def _most_of(counts: dict[str, int] | Counter[str]) -> list[tuple[str, int]]:
    """The largest counts, the rest as one."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) <= _MOST_BARS:
        return ordered
    return [*ordered[: _MOST_BARS - 1], (_OTHERS, sum(rows for _, rows in ordered[_MOST_BARS - 1 :]))]


# --- scores and nights ----------------------------------------------------------------------------


def _scores(statistics: ReleaseStatistics, style: Style) -> Figure | None:
    shown = [scores for scores in statistics.scores if scores.rows]
    if not shown:
        return None
    line = 0.5
    sheet = Sheet(
        style,
        "How sure the rows are in their language",
        "Rows by language score, 0 to 1; each language has its own height",
        0.05 + len(shown) * line + _AXIS,
    )
    lowest = min(next(place for place, rows in enumerate(scores.bins) if rows) for scores in shown)
    first = min(lowest, SCORE_BINS // 2)
    for number, scores in enumerate(shown):
        top = 0.74 + number * line
        sheet.text(MARGIN, top + line - 0.12, scores.language)
        under = sum(scores.bins[: int(0.9 * SCORE_BINS)])
        sheet.text(
            WIDTH - MARGIN, top + line - 0.12, f"{share(under, scores.rows)} under 0.9", size=SMALL,
            color=style.theme.muted, align="right",
        )  # fmt: skip
        axes = sheet.axes(0.6, top, WIDTH - 0.6 - 1.35, line - 0.04)
        axes.set_xlim(first / SCORE_BINS, 1)
        axes.set_ylim(0, 1.05)
        axes.axhline(0, color=style.theme.pale, linewidth=1)
        for place, rows in enumerate(scores.bins):
            axes.bar((place + 0.5) / SCORE_BINS, rows / max(scores.bins), 0.86 / SCORE_BINS, color=style.theme.hues[0])
        axes.set_xticks([0.1 * tenth for tenth in range(11) if tenth >= first / 2])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.1f}"))
        axes.tick_params(labelbottom=number == len(shown) - 1)
    return sheet.figure


def _nights(statistics: ReleaseStatistics, style: Style) -> Figure | None:
    if not statistics.nights:
        return None
    line = 0.55
    days = _days(statistics)
    sheet = Sheet(
        style,
        "Samples by night",
        f"{days[0]} to {days[-1]}; each language has its own height" if len(days) > 1 else f"{days[0]}",
        0.3 + len(statistics.languages) * line + _AXIS,
    )
    released, removed = style.theme.hues[0], style.theme.pale
    sheet.key(MARGIN, 0.78, [(released, "in the release"), (removed, "left out")])
    for number, language in enumerate(statistics.languages):
        top = 0.98 + number * line
        mine = {night.date: night for night in statistics.nights if night.language == language}
        total = sum(night.released for night in mine.values())
        sheet.text(MARGIN, top + line - 0.12, language)
        sheet.text(WIDTH - MARGIN, top + line - 0.12, compact(total), align="right")
        axes = sheet.axes(0.6, top, WIDTH - 0.6 - 0.85, line - 0.04)
        # A single night is no wall.
        around = max(0.0, (7 - len(days)) / 2)
        axes.set_xlim(-0.5 - around, len(days) - 0.5 + around)
        axes.set_ylim(0, max((night.made for night in mine.values()), default=1) * 1.05 or 1)
        axes.axhline(0, color=style.theme.pale, linewidth=1)
        for place, day in enumerate(days):
            if night := mine.get(day):
                axes.bar(place, night.released, 0.8, color=released)
                axes.bar(place, night.made - night.released, 0.8, bottom=night.released, color=removed)
        step = -(-len(days) // 6)
        axes.set_xticks(range(0, len(days), step), days[::step])
        axes.tick_params(labelbottom=number == len(statistics.languages) - 1)
    return sheet.figure


def _days(statistics: ReleaseStatistics) -> list[str]:
    """The nights' dates; all days between them, if these are not too many to be told apart."""
    dates = sorted({night.date for night in statistics.nights})
    first, last = date.fromisoformat(dates[0]), date.fromisoformat(dates[-1])
    span = (last - first).days + 1
    return [(first + timedelta(day)).isoformat() for day in range(span)] if span <= 120 else dates


# --- cost -----------------------------------------------------------------------------------------


def _cost(statistics: ReleaseStatistics, style: Style) -> Figure | None:
    if not statistics.models:
        return None
    shown = statistics.models[:_MOST_BARS]
    sheet = Sheet(
        style,
        "Tokens and cost by model",
        "Everything that the nights of this release asked, rejected rows too",
        0.42 + len(shown) * ROW + _AXIS,
    )
    new, cached, written = style.theme.hues[0], style.theme.shades[2], style.theme.hues[1]
    sheet.key(MARGIN, 0.78, [(new, "prompt"), (cached, "prompt, cached"), (written, "completion")])
    sheet.text(WIDTH - MARGIN - 0.95, 1.0, "calls", size=SMALL, color=style.theme.muted, align="right")
    sheet.text(WIDTH - MARGIN, 1.0, "cost", size=SMALL, color=style.theme.muted, align="right")
    bars = []
    for row, model in enumerate(shown):
        parts = [
            (model.prompt_tokens - model.cached_tokens, new),
            (model.cached_tokens, cached),
            (model.completion_tokens, written),
        ]
        bars.append(_Bar(model.model, parts, dollars(model.cost_usd)))
        sheet.text(WIDTH - MARGIN - 0.95, 1.14 + (row + 0.5) * ROW, compact(model.calls), align="right")
    _bars(sheet, 1.14, bars, figure_width=1.75)
    return sheet.figure


def dollars(cost: float | None) -> str:
    """A cost, or that it is not known."""
    if cost is None:
        return "unknown"
    return f"${cost:,.2f}" if cost >= 1 or cost == 0 else f"${cost:.4f}"


PICTURES = (
    Picture("dialogues", "Dialogues by language and subset, beside the paper's", _dialogues),
    Picture("turns", "Share of dialogues by number of turns, language and subset", _turns),
    Picture("tokens", "Mean tokens of question and answer by language and subset", _tokens),
    Picture("diversity", "Lexical diversity by language and subset: MTLD and HD-D", _diversity),
    Picture("topics", "The largest Wikipedia categories of each language's grounded dialogues", _topics),
    Picture("removed", "Samples that the release leaves out, by what was found", _removed),
    Picture("rejects", "Rows that the gates turned away, by gate and subset", _rejects),
    Picture("language-scores", "Rows by language score, for each language", _scores),
    Picture("nights", "Samples of each night, for each language", _nights),
    Picture("cost", "Tokens, calls and cost by model", _cost),
)

"""Drawing for the card: themes, a sheet laid out in inches, and files that are the same for the same figures."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from ultralink.release.fonts import Fonts, clip

WIDTH = 8.0  # inches: a card's 800 pixels at 100 to the inch
_PIXELS_PER_INCH = 200  # of the PNGs, for sharp screens
MARGIN = 0.15
HEAD = 0.72  # inches of title and subtitle
ROW = 0.27  # inches of a row of a chart
_MOST_CHARACTERS = 60  # of a label
SMALL, NORMAL, LARGE = 8.0, 9.0, 11.5  # points


class Theme(NamedTuple):
    """Colours of a picture; the hues are those of Okabe and Ito, which colour-blind readers can tell apart."""

    name: str
    background: str
    ink: str
    muted: str
    grid: str
    pale: str  # what is there, but not meant
    hues: tuple[str, str, str, str]
    shades: tuple[str, ...]  # of one hue, from little to much


LIGHT = Theme(
    "light", "#ffffff", "#1f2328", "#59636e", "#e1e5ea", "#c8d0d9",
    ("#0072b2", "#c67a00", "#009e73", "#b65a8f"),
    ("#cfe2f3", "#aecfea", "#84b5de", "#4f93c8", "#2571ad", "#0f4f88", "#0a2f5c"),
)  # fmt: skip
DARK = Theme(
    "dark", "#0d1117", "#e6edf3", "#9aa4af", "#2b323b", "#485260",
    ("#56b4e9", "#e69f00", "#2fbf95", "#e08fbe"),
    ("#22405d", "#27537a", "#2f6a9c", "#3d83bb", "#5499d0", "#86bde8", "#c2e0fa"),
)  # fmt: skip
THEMES = (LIGHT, DARK)


@dataclass(frozen=True)
class Style:
    """What all pictures of a theme share."""

    theme: Theme
    fonts: Fonts


class Sheet:
    """A picture that grows downwards: title, subtitle, then axes at given inches from its top left corner."""

    def __init__(self, style: Style, title: str, subtitle: str, height: float) -> None:
        self.style = style
        self.theme = style.theme
        self.height = HEAD + height + MARGIN
        self.figure = Figure(figsize=(WIDTH, self.height), facecolor=self.theme.background)
        self._canvas = FigureCanvasAgg(self.figure)
        self.text(MARGIN, 0.24, title, size=LARGE, weight="bold")
        self.text(MARGIN, 0.48, subtitle, size=NORMAL, color=self.theme.muted)

    def text(
        self, left: float, top: float, text: str, *, size: float = NORMAL, color: str = "", weight: str = "normal",
        align: str = "left",
    ) -> Text:  # fmt: skip
        """Write ``text`` on the sheet, its middle ``top`` inches below the upper edge."""
        return self.figure.text(
            left / WIDTH,
            1 - top / self.height,
            text,
            fontsize=size,
            color=color or self.theme.ink,
            weight=weight,
            ha=align,
            va="center_baseline",
            family=list(self.style.fonts.families),
            parse_math=False,
        )

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Bare axes in a rectangle of inches, rows counted from the top: row 0 is at y = 0."""
        bottom = 1 - (top + height) / self.height
        axes = self.figure.add_axes((left / WIDTH, bottom, width / WIDTH, height / self.height))
        axes.set_facecolor("none")
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0, labelsize=SMALL, labelcolor=self.theme.muted, pad=3)
        axes.set_yticks([])
        axes.set_axisbelow(True)
        return axes

    def rows(self, left: float, top: float, width: float, count: int) -> Axes:
        """Axes of ``count`` rows with a grid of values behind them."""
        axes = self.axes(left, top, width, count * ROW)
        axes.set_ylim(count - 0.5, -0.5)
        axes.grid(axis="x", color=self.theme.grid, linewidth=0.8)
        return axes

    def key(self, left: float, top: float, entries: Sequence[tuple[str, str]]) -> None:
        """A legend in one line: colour and meaning."""
        x = left
        for color, meaning in entries:
            self.figure.add_artist(
                Rectangle(
                    (x / WIDTH, 1 - (top + 0.055) / self.height),
                    0.11 / WIDTH,
                    0.11 / self.height,
                    facecolor=color,
                    edgecolor="none",
                    transform=self.figure.transFigure,
                )
            )
            written = self.text(x + 0.17, top, meaning, size=SMALL, color=self.theme.muted)
            x += 0.17 + self.width_of(written) + 0.22

    def data(self, left: float, top: float, text: str, width: float) -> None:
        """Write what comes from data: on one line, what no font has replaced, and shortened until it fits."""
        shown = self.style.fonts.drawable(text, _MOST_CHARACTERS) or "–"
        written = self.text(left, top, shown)
        most = len(shown)
        while self.width_of(written) > width and most > 1:
            most = max(1, min(most - 1, int(most * width / self.width_of(written))))
            written.set_text(clip(shown, most))

    def width_of(self, text: Text) -> float:
        """Inches that a text takes."""
        return float(text.get_window_extent().width / self.figure.dpi)


def compact(number: float) -> str:
    """A count as people read it: 1,234, 12.3K, 1.03M."""
    if number < 10_000:
        return f"{number:,.0f}"
    for unit, name in ((1e3, "K"), (1e6, "M")):
        if number < 999.5 * unit:  # what would be rounded to 1000 is 1 of the next unit
            return f"{number / unit:.3g}{name}"
    return f"{number / 1e9:,.4g}B"


def share(part: float, whole: float) -> str:
    """A share as people read it: 12%, 0.3%, <0.1%."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "<0.1%"
    return f"{percent:.0f}%" if percent >= 10 or percent == 0 else f"{percent:.1f}%"


def text_on(color: str) -> str:
    """Black or white, whichever can be read on ``color``."""
    red, green, blue = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return "#111418" if 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.19 else "#ffffff"


def files_of(figure: Figure, name: str) -> Iterator[tuple[str, bytes]]:
    """A figure as PNG and SVG: file name and content, which holds no date and no random identifier."""
    color = figure.get_facecolor()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": name}):
        picture = io.BytesIO()
        FigureCanvasAgg(figure).print_figure(
            picture, format="png", dpi=_PIXELS_PER_INCH, facecolor=color, metadata={"Software": None}
        )
        yield f"{name}.png", picture.getvalue()
        drawing = io.BytesIO()
        FigureCanvasSVG(figure).print_figure(drawing, format="svg", facecolor=color, metadata={"Date": None})
        yield f"{name}.svg", drawing.getvalue()

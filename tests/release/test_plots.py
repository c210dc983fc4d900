"""The pictures of a card: every glyph there, nothing cut off or on top of each other, the same bytes every time."""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator
from importlib.util import find_spec

import matplotlib as mpl
import pytest
from lxml import etree
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from tests.release.made_statistics import CATEGORIES, made

from ultralink.release.fonts import fonts_for, one_line
from ultralink.release.pictures import PICTURES, draw_all
from ultralink.release.plots import DARK, LIGHT, THEMES, Style, Theme, compact, share
from ultralink.release.statistics import ReleaseStatistics

HOSTILE = (
    "$x_{1}$ | `code` <script>alert(1)</script>\n\x00\u202eevil " + "很长" * 5000,
    "\ud800",
    "😀🧿\U0010fffd",
    "",
)
SIZES = {
    "one": made(["zh"], rows=12, nights=1),
    "five": made(["en", "zh", "ru", "fr", "es"], rows=30_000, nights=7),
    "twelve": made(list(CATEGORIES), rows=400_000, nights=60, gates=[f"gate_number_{n}" for n in range(40)]),
    "hostile": made(["ru"], categories={"ru": HOSTILE}, model=HOSTILE[0], gates=HOSTILE, cost_usd=None),
}


def _figures(statistics: ReleaseStatistics, theme: Theme = LIGHT) -> Iterator[tuple[str, Figure]]:
    texts = [name for topics in statistics.topics for name in (category.name for category in topics.top)]
    style = Style(theme, fonts_for([*texts, *(model.model for model in statistics.models)]))
    for picture in PICTURES:
        figure = picture.draw(statistics, style)
        assert figure is not None, picture.name
        yield picture.name, figure


def _texts(figure: Figure) -> Iterator[Text]:
    yield from figure.texts
    for axes in figure.axes:
        yield from axes.texts
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high and tick.label1.get_visible():
                    yield tick.label1


@pytest.mark.parametrize("size", SIZES)
def test_all_glyphs_are_there(size: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of each glyph that no font has
        drawn = list(draw_all(SIZES[size]))
    assert {path for _, path, _ in drawn} == {
        f"plots/{picture.name}-{theme.name}.{kind}"
        for picture in PICTURES
        for theme in THEMES
        for kind in ("png", "svg")
    }


def test_a_glyph_that_no_font_has_would_be_told() -> None:
    figure = Figure()
    figure.text(0.1, 0.5, "\U0010fffd", family=list(fonts_for([]).families))
    with pytest.warns(UserWarning, match="missing from font"):
        FigureCanvasAgg(figure).draw()


@pytest.mark.parametrize("size", SIZES)
def test_no_text_is_cut_off_or_covered_by_another(size: str) -> None:
    for name, figure in _figures(SIZES[size]):
        FigureCanvasAgg(figure).draw()
        boxes = [(text.get_text(), text.get_window_extent()) for text in _texts(figure) if text.get_text().strip()]
        assert boxes, name
        for text, box in boxes:
            assert figure.bbox.x0 <= box.x0, (name, text)
            assert box.x1 <= figure.bbox.x1, (name, text)
            assert figure.bbox.y0 <= box.y0, (name, text)
            assert box.y1 <= figure.bbox.y1, (name, text)
        for (text, box), (other, its_box) in itertools.combinations(boxes, 2):
            # The boxes have room above and below the letters.
            apart = (
                box.x1 <= its_box.x0 + 0.5 or its_box.x1 <= box.x0 + 0.5
                or box.y1 <= its_box.y0 + 2 or its_box.y1 <= box.y0 + 2
            )  # fmt: skip
            assert apart, (name, text, other)


def test_the_same_figures_make_the_same_bytes_and_no_setting_is_left_changed() -> None:
    before = dict(mpl.rcParams)
    first = {path: content for _, path, content in draw_all(SIZES["five"])}
    assert {path: content for _, path, content in draw_all(SIZES["five"])} == first
    assert dict(mpl.rcParams) == before
    for path, content in first.items():
        if path.endswith(".svg"):
            root = etree.fromstring(content)
            assert not root.findall(".//{*}text"), path  # letters are paths: no font is needed to see them
            assert not root.findall(".//{*}date"), path
        else:
            with Image.open(io.BytesIO(content)) as image:
                assert image.width == 1600
                assert len(image.convert("RGB").getcolors(1 << 24) or []) > 20


def test_light_and_dark_differ_in_their_ground() -> None:
    pixels = {}
    for _, path, content in draw_all(SIZES["one"]):
        if path.endswith(".png"):
            with Image.open(io.BytesIO(content)) as image:
                pixels[path] = image.convert("RGB").getpixel((2, 2))
    assert {pixel for path, pixel in pixels.items() if "light" in path} == {(255, 255, 255)}
    assert {pixel for path, pixel in pixels.items() if "dark" in path} == {(13, 17, 23)}


def _contrast(one: str, other: str) -> float:
    """As the Web Content Accessibility Guidelines define it."""

    def luminance(color: str) -> float:
        parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_colours_stand_out_from_their_ground(theme: Theme) -> None:
    assert _contrast(theme.ink, theme.background) > 7
    assert _contrast(theme.muted, theme.background) > 4.5
    assert all(_contrast(hue, theme.background) > 3 for hue in theme.hues)


def test_a_picture_without_data_is_not_drawn() -> None:
    bare = SIZES["one"].model_copy(update={"rejected": (), "removed": (), "topics": (), "scores": (), "models": ()})
    assert {picture.name for picture, _, _ in draw_all(bare)} == {"dialogues", "turns", "tokens", "diversity", "nights"}


def test_the_bundled_font_is_found_by_path() -> None:
    assert find_spec("notojp_matplotlib") is not None
    assert "Noto Sans CJK JP" in fonts_for([]).families
    drawable = fonts_for(["x"])
    for text in ("北京市", "東京都", "서울", "Москва", "القاهرة", "Αθήνα"):
        assert drawable.drawable(text, 40) == text


def test_labels_lose_what_could_turn_them_around_and_are_clipped() -> None:
    fonts = fonts_for([])
    assert fonts.drawable("a\u202eb\x00c\u2066\nd", 40) == "abc d"
    assert len(fonts.drawable("x" * 10_000, 40)) == 40
    assert one_line(" \n\t", 40) == ""
    assert fonts.drawable("a 𓀀", 40) == "a \N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (12, "12"), (9999, "9,999"), (10_000, "10K"), (12_345, "12.3K"), (1_032_000, "1.03M"), (2e9, "2B"),
     (999_999, "1M")],
)  # fmt: skip
def test_counts_are_short(number: float, text: str) -> None:
    assert compact(number) == text


def test_shares_are_short() -> None:
    assert [share(*each) for each in ((0, 0), (0, 5), (1, 2000), (1, 300), (1, 3))] == [
        "0%",
        "0%",
        "<0.1%",
        "0.3%",
        "33%",
    ]

"""Fonts of the pictures: DejaVu Sans, Noto Sans CJK out of its wheel, and fonts of the system for what these lack."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from matplotlib.font_manager import FontEntry, FontProperties, fontManager, get_font

_BASE = "DejaVu Sans"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"  # DejaVu has it


@dataclass(frozen=True)
class Fonts:
    """Families in the order in which a glyph is looked for, and the characters that they have together."""

    families: tuple[str, ...]
    characters: frozenset[int]

    def drawable(self, text: str, most: int) -> str:
        """``text`` on one line and of at most ``most`` characters; what no font has becomes a replacement character.

        Control, format and direction marks are left out: they may turn around what stands beside them.
        """
        return clip("".join(self._character(character) for character in one_line(text, most)), most)

    def _character(self, character: str) -> str:
        return character if ord(character) in self.characters else _REPLACEMENT


def one_line(text: str, most: int) -> str:
    """``text`` without control, format and direction marks, blanks joined; a little more than ``most`` is looked at."""
    opening = text[: 4 * most + 64]
    spaced = "".join(" " if character.isspace() else character for character in opening)
    shown = (character for character in spaced if not unicodedata.category(character).startswith("C"))
    return " ".join("".join(shown).split())


def clip(text: str, most: int) -> str:
    """At most ``most`` characters, the last of which says that there was more."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def fonts_for(texts: Iterable[str]) -> Fonts:
    """The fonts that draw ``texts``: the two that are always there, and others of the system where they are needed."""
    families = [_BASE, *_bundled()]
    characters = set[int]().union(*map(_characters_of, families))
    missing = {ord(character) for text in texts for character in one_line(text, len(text))} - characters
    for family in _others(families) if missing else ():
        found = _characters_of(family)
        if missing & found:
            families.append(family)
            characters |= found
            missing -= found
        if not missing:
            break
    return Fonts(tuple(families), frozenset(characters))


@cache
def _bundled() -> tuple[str, ...]:
    """The families of the fonts in notojp-matplotlib, by path: importing the package would change all settings."""
    package = find_spec("notojp_matplotlib")
    folders = package.submodule_search_locations if package else None
    names = []
    for path in sorted(file for folder in folders or [] for file in Path(folder).glob("fonts/*.otf")):
        fontManager.addfont(path)
        names.append(FontProperties(fname=str(path)).get_name())
    return tuple(dict.fromkeys(names))


def _others(families: list[str]) -> Iterator[str]:
    """All other families of the system that can be drawn, in a fixed order."""
    plain = {entry.name for entry in fontManager.ttflist if _is_plain(entry)}
    yield from sorted(plain - set(families), key=lambda name: ("Sans" not in name, name))


def _is_plain(entry: FontEntry) -> bool:
    upright = entry.style == "normal" and entry.variant == "normal" and entry.stretch == "normal"
    regular = entry.weight in (400, "normal", "regular", "book")
    return upright and regular and "Emoji" not in entry.name and "Last Resort" not in entry.name


@cache
def _characters_of(family: str) -> frozenset[int]:
    path = fontManager.findfont(FontProperties(family=[family]), fallback_to_default=False)
    try:
        return frozenset(get_font(path).get_charmap())
    except (OSError, RuntimeError):  # a format that matplotlib does not draw
        return frozenset()

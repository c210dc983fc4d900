"""The real wikis that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from tests.real.mediawiki import Farm, running

settings.register_profile("unhurried", deadline=None)  # the machine may be busy: time proves nothing
settings.load_profile("unhurried")

MANY = 520  # categories, above the 500 that one answer holds

PAGES = {
    "Water": "Water is wet.\n\n== Uses ==\nDrinking.\n\n== References ==\n[[Category:Drinks]]",
    "Cocoa": "Cocoa is hot.\n[[Category:Hot drinks]]",
    "Green tea": "Green tea is green.\n[[Category:Teas]]",
    "Black tea": "Black tea is black.\n[[Category:Teas]] [[Category:Drinks]]",
    "Chai": "#REDIRECT [[Black tea]]\n[[Category:Teas]]",
    "Masala chai": "#REDIRECT [[Chai]]",
    "Black tea leaves": "#REDIRECT [[Black tea#Leaves]]",
    "To nowhere": "#REDIRECT [[Not written yet]]",
    "To elsewhere": "#REDIRECT [[mw:Help]]",
    "Round one": "#REDIRECT [[Round two]]",
    "Round two": "#REDIRECT [[Round one]]",
    "Category:Drinks": "[[Category:Teas]]",
    "Category:Hot drinks": "[[Category:Drinks]]",
    "Category:Teas": "[[Category:Hot drinks]]",
    "Category:Only redirects": "",
    "Red tea": "#REDIRECT [[Black tea]]\n[[Category:Only redirects]]",
    "Mercury": "'''Mercury''' may be:\n* a planet\n* a metal\n__DISAMBIG__",
    "Headed": "== North ==\nIt is cold.\n\n== South ==\nIt is warm.\n\n== References ==\n",
    "Without text": "",
    "To be edited": "First text.",
    "To be edited twice": "First text.",
    "To be turned": "Still a page.",
    "To be deleted": "Still a page.",
    "Hidden and shown": "Text.\n[[Category:Shown]] [[Category:Hidden]]",
    "Category:Hidden": "__HIDDENCAT__",
    "Many": "Word. " * 60_000 + "".join(f"[[Category:Number {n:03} {'x' * 150}]]" for n in range(MANY)),
    "Smørrebrød & 東京 100% \"+\" 'é' 🙂": "Unicode.",
    "Café": "With an accent.",
}


@pytest.fixture(scope="session")
def wikis() -> Iterator[Farm]:
    """The English sample with ``PAGES``, and the Chinese sample."""
    with running(["en", "zh"], {"en": PAGES}) as farm:
        yield farm

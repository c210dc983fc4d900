"""Blocklists: the words and phrases of a file, one a line, that no row of a language may hold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import fsspec

from ultralink.errors import RecipeError
from ultralink.release.words import normalised, units


@dataclass(frozen=True, slots=True)
class Blocklist:
    """Phrases by their first unit. A phrase is found as whole words; where a script has no spaces, anywhere."""

    digest: str
    phrases: dict[str, tuple[tuple[str, ...], ...]]

    def find(self, text: Sequence[str]) -> str | None:
        """The first phrase in a text's units (`words.units`), as units with spaces between them."""
        if self.phrases.keys().isdisjoint(text):
            return None
        for place, unit in enumerate(text):
            for phrase in self.phrases.get(unit, ()):
                if tuple(islice(text, place, place + len(phrase))) == phrase:
                    return " ".join(phrase)
        return None


def read_blocklist(language: str, path: str) -> Blocklist:
    """The list of ``language`` at ``path``, local or an fsspec URL.

    UTF-8, a word or phrase a line; what follows a # is a comment. Case and width make no difference. Raises
    RecipeError that names file, field and line.
    """
    place = f"{path}: blocklists.{language} of the release's recipe"
    try:
        with fsspec.open(path, "rb") as file:
            content: bytes = file.read()
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"{place}: no such file") from None
    except UnicodeDecodeError as problem:
        raise RecipeError(f"{place}: byte {problem.start + 1} is not UTF-8") from None
    except (OSError, ValueError, ImportError) as problem:
        raise RecipeError(f"{place}: cannot be read ({type(problem).__name__})") from problem
    phrases: dict[str, set[tuple[str, ...]]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        phrase = tuple(units(normalised(entry)))
        if phrase:
            phrases.setdefault(phrase[0], set()).add(phrase)
        elif entry:
            raise RecipeError(f"{place}: line {number} has no word")
    if not phrases:
        raise RecipeError(f"{place}: the list is empty; leave the language out of blocklists instead")
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return Blocklist(digest, {first: tuple(sorted(each)) for first, each in phrases.items()})

"""What masks and checks cost a row, on the bundled rows and their human translations, beside a teacher's call.

All times are CPU of one core, per 400 cl100k tokens of English, the median of several rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from ultralink.pool.formats import read
from ultralink.pool.recipe import load_pool_recipe
from ultralink.pool.row import EnglishRow, Kind
from ultralink.recipe import INCLUDE, Recipe, load_recipe
from ultralink.tokens import count_tokens
from ultralink.translation import checks
from ultralink.translation.masks import Masked, mask
from ultralink.translation.texts import parts_of

LANGUAGES = ("zh", "ru", "fr", "es")
ROUNDS = 7
TOKENS = 400
TEACHER_S = 2.0  # a hosted model's answer of this length takes seconds; this is a quick one


@dataclass(frozen=True)
class Case:
    """A row whose translation a teacher gave: the asked texts, and what came back for each."""

    row: EnglishRow
    asked: list[Masked]
    answered: list[str]

    @property
    def tokens(self) -> int:
        """Of the English."""
        return count_tokens(self.row.text)


def cases(recipe: Recipe) -> Iterator[Case]:
    """All bundled rows that have a human translation, masked as the teacher would have answered."""
    assert recipe.translation is not None
    for source in load_pool_recipe().sources:
        path = INCLUDE / "samples" / "translations" / recipe.language / Path(source.path).name
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        translations = {line["row"]: line["messages"] for line in lines}
        for row in read(source):
            if isinstance(row, EnglishRow) and row.row in translations:
                parts = parts_of(row, recipe.translation)
                pairs = [
                    (part.masked, _masked_alike(part.masked, text))
                    for part, text in zip(parts, translations[row.row], strict=True)
                ]
                yield Case(row, [asked for asked, _ in pairs], [answered for _, answered in pairs])


def _masked_alike(source: Masked, translation: str) -> str:
    """The translation with the source's spans behind the source's placeholders."""
    for number, span in enumerate(source.spans, 1):
        translation = translation.replace(span.text, f"⟦{number}⟧", 1)
    return translation


def microseconds(work: Callable[[Case], object], of: list[Case]) -> float:
    """CPU per TOKENS tokens."""
    tokens = sum(case.tokens for case in of)
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for case in of:
            work(case)
        rounds.append(time.process_time() - started)
    return statistics.median(rounds) / tokens * TOKENS * 1e6


def measure(language: str) -> None:
    """Print the language's rows of the table."""
    recipe = load_recipe(language)
    rules = recipe.translation
    assert rules is not None
    every = list(cases(recipe))

    def verified(case: Case) -> object:
        return checks.verify(case.row.kind, case.asked, case.answered, rules, recipe.text)

    for kind in Kind:
        of = [case for case in every if case.row.kind is kind]
        masking = microseconds(lambda case: [mask(message.content) for message in case.row.messages], of)
        with patch.object(checks, "language_score", lambda text, labels: None):
            checking = microseconds(verified, of)
        detecting = microseconds(verified, of) - checking
        both, share = masking + checking, (masking + checking + detecting) / 1e6 / TEACHER_S
        print(
            f"| {language} | {kind} | {len(of)} | {masking:.0f} | {checking:.0f} | **{both / 1000:.2f}** "
            f"| {detecting / 1000:.2f} | {1e6 / both:,.0f} | {share:.2%} |",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    print(f"### Masks and checks, per {TOKENS} tokens\n\nLoad when started: {os.getloadavg()[0]:.2f}\n")
    print("| | kind | rows | masks, µs | checks, µs | both, ms | langdetect, ms | rows/s, one core | of a 2 s call |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for language in LANGUAGES:
        measure(language)


if __name__ == "__main__":
    main()

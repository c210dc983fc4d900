"""Known limits of a release: what holds of every one, and what its figures show of this one."""

from __future__ import annotations

from ultralink.release.markdown import plain
from ultralink.release.plots import share
from ultralink.release.recipe import ReleaseRecipe
from ultralink.release.statistics import ReleaseStatistics, Scores

_ALWAYS = (
    "Answers were written by a language model. Gates check their form and language, a judge may have checked some "
    "against their passage (`scores`); no human read them, and some are wrong.",
    "*Written in a language's Wikipedia* is taken as *about its culture*. Articles on other countries are among them.",
    "Questions are formal and of a few kinds: why, how, compare, predict.",
    "Translations are checked for numbers, code, formulas, length and language, and can be stiff all the same.",
    "Near duplicates are found by overlapping words: the same thing in other words stays.",
    "Wikipedia's mistakes and its choice of topics are in the data, and so are those of the English data sets.",
    "Of private data, e-mail addresses, telephone numbers and keys in their usual forms are looked for, no others.",
)
_LOW_SCORE = 0.9
_MANY = 0.1  # of the rows that have a score


def limits(statistics: ReleaseStatistics, recipe: ReleaseRecipe) -> list[str]:
    """Sentences in Markdown, those of this release first."""
    return [*_of_this(statistics, recipe), *_ALWAYS]


def _of_this(statistics: ReleaseStatistics, recipe: ReleaseRecipe) -> list[str]:
    found = []
    if statistics.rehearsal:
        found.append("**The offline teacher took part: rows are rehearsals without meaning.**")
    for language, subsets in statistics.missing.items():
        found.append(f"{plain(language)} lacks {', '.join(map(plain, subsets))}.")
    if not recipe.decontamination.sets:
        found.append("It was compared with no evaluation set.")
    if statistics.filled and not statistics.validation:
        found.append("No row is kept back for validation: there are too few sources, or none was asked for.")
    if unmeasured := [each.name for each in statistics.filled if each.diversity.mtld is None]:
        found.append(f"Lexical diversity is not measured of {', '.join(map(plain, unmeasured))}.")
    if english := statistics.of_language("en").dialogues:
        found.append(f"{share(english, statistics.lengths.dialogues)} of the dialogues are English.")
    if unsure := [each for each in map(_unsure, statistics.scores) if each]:
        found.append(f"Rows whose language score is under {_LOW_SCORE}: {', '.join(unsure)}.")
    if len(statistics.teachers) == 1 and not statistics.rehearsal:
        found.append("All rows that a model wrote are of a single one, with its habits.")
    return found


def _unsure(scores: Scores) -> str | None:
    """A language and its share of low scores, where these are many."""
    under = sum(scores.bins[: round(_LOW_SCORE * len(scores.bins))])
    many = scores.rows and under / scores.rows > _MANY
    return f"{plain(scores.language)} {share(under, scores.rows)}" if many else None

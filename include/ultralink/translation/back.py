"""Second looks at a translation, of a sample of the rows: back into English, compared by chrF, and a judge."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict
from sacrebleu import corpus_chrf

from ultralink.dialogue.door import Ask, Said
from ultralink.errors import AnswerInvalid, ContextOverflow
from ultralink.pool.row import EnglishRow
from ultralink.prompts import Pair, TranslationPrompts, TranslationStep, defuse_texts
from ultralink.quotation import normalised, trimmed
from ultralink.recipe import Recipe
from ultralink.translation.masks import prose
from ultralink.translation.texts import English

Note = Callable[[TranslationStep, Said], None]


class Faithfulness(BaseModel):
    """The judge's answer: what is wrong, and where in the translation; both empty where nothing is."""

    model_config = ConfigDict(extra="forbid")

    faithful: bool
    problem: str
    quote: str


class NoBackTranslation(Exception):
    """The teacher was asked so many times and never gave what could be compared; ``reason`` is a code."""

    def __init__(self, reason: str, attempts: int) -> None:
        super().__init__(reason, attempts)
        self.reason = reason
        self.attempts = attempts


def is_sampled(step: TranslationStep, row: EnglishRow, recipe: Recipe, rate: float) -> bool:
    """Whether ``row`` is in the sample of so large a share that gets this second look."""
    return random.Random(f"{step} {recipe.language} {row.id}").random() < rate


async def translated_back(
    ask: Ask, book: TranslationPrompts, texts: Sequence[str], attempts: int, note: Note
) -> list[str] | None:
    """``texts`` in English after so many attempts at most, None in a rehearsal; ``note`` gets each answer.

    Raises NoBackTranslation (``invalid_answer``, ``wrong_number``, ``no_room``), and what else ``ask`` raises.
    """
    if not texts:
        return []
    sent = book.back_messages(texts)
    for attempt in range(attempts):
        try:
            said = await ask.structured(TranslationStep.BACK, sent, English, attempt=attempt)
        except AnswerInvalid as problem:
            raise NoBackTranslation("invalid_answer", attempt + 1) from problem
        except ContextOverflow as problem:
            raise NoBackTranslation("no_room", attempt) from problem
        note(TranslationStep.BACK, said)
        if said.rehearsed:
            return None
        if len(said.value.english) == len(texts):
            return said.value.english
    raise NoBackTranslation("wrong_number", attempts)


def chrf(sources: Sequence[str], back: Sequence[str]) -> float:
    """chrF of what came back against the English sources, placeholders left out: 0 to 100."""
    return float(corpus_chrf([prose(text) for text in back], [[prose(text) for text in sources]]).score)


async def is_faithful(
    ask: Ask, book: TranslationPrompts, pairs: Sequence[Pair], attempts: int, note: Note
) -> bool | None:
    """The judge's verdict; None where none can be used, and in a rehearsal.

    A fault whose quotation is not in the translation is asked for again: it is no verdict.
    """
    sent = book.judge_messages(pairs)
    shown = normalised("\n".join(defuse_texts(pair.translation) for pair in pairs))
    for attempt in range(attempts):
        try:
            said = await ask.structured(TranslationStep.JUDGE, sent, Faithfulness, attempt=attempt)
        except (AnswerInvalid, ContextOverflow):
            return None
        note(TranslationStep.JUDGE, said)
        if said.rehearsed:
            return None
        quote = trimmed(said.value.quote)
        if said.value.faithful or (quote and quote in shown):
            return said.value.faithful
    return None

"""The row program of a translation: a call per window, its checks, new attempts, and second looks at a sample.

What it draws is drawn from the row's id, it reads no clock, and it talks to nobody but ``ask``: a replay with the
same answers makes the same calls and the same translation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ultralink.dialogue.door import Ask, Said
from ultralink.dialogue.outcome import Spending
from ultralink.errors import ContextOverflow, RecipeError
from ultralink.gates.turn import clip
from ultralink.language import language_score
from ultralink.pool.row import EnglishRow
from ultralink.prompts import TEXT_TAG, Pair, RefusedTexts, TranslationPrompts, TranslationStep
from ultralink.recipe import Recipe
from ultralink.teacher.rehearsal import WORD
from ultralink.teacher.request import Message
from ultralink.translation.back import NoBackTranslation, chrf, is_faithful, is_sampled, translated_back
from ultralink.translation.checks import Check, Fault, verify
from ultralink.translation.comments import NotIdentical
from ultralink.translation.masks import Masked, prose
from ultralink.translation.texts import (
    Done,
    Part,
    Texts,
    dealt,
    likely_tokens,
    parts_of,
    prose_pairs,
    shown_earlier,
    windows,
    with_edges,
)

# Checks of this program, beside those of ``Check``.
CONTEXT = "context"  # the model's context has no room for the request
BACK_TRANSLATION = "back_translation"


@dataclass(frozen=True, slots=True)
class Translated:
    """A row whose translation passed its checks.

    ``scores``: ``language`` (0 to 1, if decidable), ``length_ratio`` (letters, translation / source), and of a
    sample ``chrf`` (0 to 100, translated back) and ``faithful`` (1 or 0, the judge's). ``spent`` counts every
    answer that was needed, refused ones included. ``served`` names the models that translated, as the endpoint
    named them. ``created`` is when the last of the answers was given: UTC, ISO 8601.
    """

    row: EnglishRow
    messages: tuple[Message, ...]
    scores: dict[str, float]
    spent: Spending
    served: str
    created: str


@dataclass(frozen=True, slots=True)
class NotTranslated:
    """A row that a check turned down after so many ``attempts`` (0: never asked).

    ``messages`` is what the teacher said last, put together as far as it can be. ``detail`` is clipped.
    """

    row: EnglishRow
    check: str
    reason: str
    detail: str
    attempts: int
    messages: tuple[Message, ...]
    created: str | None


async def translate(row: EnglishRow, ask: Ask, book: TranslationPrompts, recipe: Recipe) -> Translated | NotTranslated:
    """``row`` in the recipe's language, or why not.

    Raises RecipeError for a recipe that translates nothing, and what ``ask`` raises; but an overflowing context
    is a reject, and so is a row whose translation back into English does not come.
    """
    return await _Translation(row, ask, book, recipe).make()


class _Refused(Exception):
    """The teacher's last attempt failed its checks, or it could not be asked."""

    def __init__(self, check: str, reason: str, detail: str, attempts: int, said: Sequence[Message] = ()) -> None:
        super().__init__(check, reason)
        self.check = check
        self.reason = reason
        self.detail = detail
        self.attempts = attempts
        self.said = tuple(said)  # of the window that failed


class _Translation:
    """One row in the making."""

    def __init__(self, row: EnglishRow, ask: Ask, book: TranslationPrompts, recipe: Recipe) -> None:
        if recipe.translation is None:
            raise RecipeError(f"recipe {recipe.language}: translation: is missing, so no row can be translated")
        self._row = row
        self._ask = ask
        self._book = book
        self._recipe = recipe
        self._rules = recipe.translation
        self._step = TranslationStep.of(row.kind)
        self._attempts = 1 + recipe.translation.new_attempts
        self._windows: list[list[Done]] = []
        self._spent = Spending()
        self._served: set[str] = set()
        self._created = ""

    async def make(self) -> Translated | NotTranslated:
        """All windows, then the second looks."""
        try:
            parts = self._parts()
            for window in windows(parts, self._row.kind, self._rules.window_tokens):
                self._windows.append(await self._window(window))
            scores = self._scores() | await self._second_looks()
        except _Refused as refused:
            return self._not_translated(refused)
        messages = tuple(done.message for done in self._done)
        served = ", ".join(sorted(self._served))
        return Translated(self._row, messages, scores, self._spent, served, self._created)

    @property
    def _done(self) -> list[Done]:
        return [done for window in self._windows for done in window]

    def _parts(self) -> list[Part]:
        if any(not message.content.strip() for message in self._row.messages):
            raise _Refused(Check.EMPTY, "empty_source", "", 0)
        parts = parts_of(self._row, self._rules)
        if not any(part.asked for part in parts):
            raise _Refused(Check.EMPTY, "nothing_to_translate", "", 0)
        return parts

    # --- windows --------------------------------------------------------------------------------

    async def _window(self, window: Sequence[Part]) -> list[Done]:
        """The window's first translation with nothing wrong in it; each new attempt is told what was wrong."""
        texts = [text.text for part in window for text in part.asked]
        if not texts:
            return self._assembled(window, ())
        likely = sum(likely_tokens(text, self._rules.token_ratio) for text in texts)
        if likely > self._rules.max_tokens:
            raise _Refused(CONTEXT, "no_room", f"about {likely:.0f} tokens, max_tokens is {self._rules.max_tokens}", 0)
        earlier = shown_earlier(self._done, self._rules.window_tokens)
        refused: RefusedTexts | None = None
        for attempt in range(self._attempts):
            sent = self._book.messages(self._row.kind, texts, earlier, refused=refused)
            try:
                said = await self._ask.structured(self._step, sent, Texts, attempt=attempt)
            except ContextOverflow as problem:
                raise _given_up(window, refused, attempt) from problem
            self._note(self._step, said)
            if said.rehearsed:
                return self._stand_ins(window)
            checked = self._checked(window, said.value.texts)
            if not isinstance(checked, RefusedTexts):
                return checked
            refused = checked
        raise _given_up(window, refused, self._attempts)

    def _checked(self, window: Sequence[Part], said: Sequence[str]) -> list[Done] | RefusedTexts:
        """The window's messages in translation, or what is wrong with them."""
        asked = [text for part in window for text in part.asked]
        texts = list(said)
        if len(said) == len(asked):
            texts = [with_edges(source.text, text) for source, text in zip(asked, said, strict=True)]
        faults = self._faults(asked, texts)
        if faults:
            return RefusedTexts(texts, faults)
        try:
            return self._assembled(window, texts)
        except NotIdentical as problem:
            return RefusedTexts(texts, [Fault(Check.CODE, "not_identical", clip(str(problem)))])

    def _faults(self, asked: Sequence[Masked], texts: Sequence[str]) -> list[Fault]:
        faults = verify(self._row.kind, asked, texts, self._rules, self._recipe.text)
        # Every tag of the sources is behind a placeholder, so one that is seen here was copied from the prompt.
        tagged = [found for text in texts if (found := TEXT_TAG.search(text))]
        return faults or [Fault(Check.NOTE, "tag", clip(found.string[found.start() :])) for found in tagged]

    def _assembled(self, window: Sequence[Part], texts: Sequence[str]) -> list[Done]:
        """Raises NotIdentical."""
        phrase = self._rules.answer_phrase
        return [Done(part, share, part.message(share, phrase)) for part, share in dealt(window, texts)]

    def _stand_ins(self, window: Sequence[Part]) -> list[Done]:
        """For a rehearsal: texts of the likely length, so that windows which quote them are priced right."""
        return [Done(part, tuple(self._stand_in(text) for text in part.asked), part.draft(())) for part in window]

    def _stand_in(self, text: Masked) -> str:
        return WORD * max(1, round(likely_tokens(text.text, self._rules.token_ratio)))

    # --- scores and second looks --------------------------------------------------------------------

    def _scores(self) -> dict[str, float]:
        """``language`` and ``length_ratio``, over the prose of all messages."""
        pairs = prose_pairs(self._done)
        source = prose("\n".join(pair.source for pair in pairs))
        translation = prose("\n".join(pair.translation for pair in pairs))
        scores = {}
        if _letters(source):
            scores["length_ratio"] = round(_letters(translation) / _letters(source), 4)
        language = language_score(translation, self._recipe.text.detector_labels)
        if language is not None:
            scores["language"] = language
        return scores

    async def _second_looks(self) -> dict[str, float]:
        """``chrf`` and ``faithful``, where the row is sampled. Raises _Refused for a chrF that is too low."""
        scores: dict[str, float] = {}
        pairs = prose_pairs(self._done)
        if not pairs:  # nothing but comments was translated
            return scores
        if self._is_sampled(TranslationStep.BACK, self._rules.back_translation.sampling_rate):
            scores |= await self._translated_back()
        if self._is_sampled(TranslationStep.JUDGE, self._rules.judge_rate):
            verdict = await is_faithful(self._ask, self._book, pairs, self._attempts, self._note)
            scores |= {} if verdict is None else {"faithful": float(verdict)}
        return scores

    def _is_sampled(self, step: TranslationStep, rate: float) -> bool:
        return is_sampled(step, self._row, self._recipe, rate)

    async def _translated_back(self) -> dict[str, float]:
        """``chrf``, nothing in a rehearsal. Asked for in the windows of the translation."""
        pairs: list[Pair] = []
        back: list[str] = []
        for window in map(prose_pairs, self._windows):
            texts = [pair.translation for pair in window]
            try:
                back += await translated_back(self._ask, self._book, texts, self._attempts, self._note) or ()
            except NoBackTranslation as problem:
                raise _Refused(BACK_TRANSLATION, problem.reason, "", problem.attempts) from problem
            pairs += window
        if len(back) < len(pairs):
            return {}
        score = chrf([pair.source for pair in pairs], back)
        least = self._rules.back_translation.min_chrf
        if score < least:
            raise _Refused(BACK_TRANSLATION, "chrf", f"{score:.1f} < {least:.1f}", 1)
        return {"chrf": round(score, 2)}

    # --- result -----------------------------------------------------------------------------------

    def _note(self, step: TranslationStep, said: Said) -> None:
        usage = said.usage
        self._spent += Spending(1, usage.prompt, usage.cached, usage.completion, said.cost_usd)
        if step is self._step:
            self._served.add(said.model)
        self._created = max(self._created, said.created)  # ISO 8601 in UTC sorts as it is

    def _not_translated(self, refused: _Refused) -> NotTranslated:
        return NotTranslated(
            self._row,
            refused.check,
            refused.reason,
            refused.detail,
            refused.attempts,
            messages=(*(done.message for done in self._done), *refused.said),
            created=self._created or None,
        )


def _given_up(window: Sequence[Part], refused: RefusedTexts | None, attempts: int) -> _Refused:
    if refused is None:
        return _Refused(CONTEXT, "no_room", "", attempts)
    said = [part.draft(share) for part, share in dealt(window, refused.texts) if share or not part.asked]
    fault = refused.faults[0]
    return _Refused(fault.check.value, fault.reason, fault.detail, attempts, said)


def _letters(text: str) -> int:
    return sum(character.isalpha() for character in text)

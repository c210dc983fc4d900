"""Bad translations on demand, so that tests can prove what each check catches: off unless asked for."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

from pydantic import Field

from ultralink.errors import PromptError
from ultralink.offline_teacher.templates import TEMPLATES
from ultralink.recipe import Section, read_yaml

_PLACEHOLDER = re.compile(r"⟦\d+⟧")
_NUMBER = re.compile(r"(?<!⟦)(?<!\d)\d+(?!\d)(?!⟧)")
_QUESTION = re.compile(r"[?？]")


class Misdeed(StrEnum):
    """What goes wrong with a translation."""

    DROP_PLACEHOLDER = "drop_placeholder"
    DOUBLE_PLACEHOLDER = "double_placeholder"
    TOUCH_PLACEHOLDER = "touch_placeholder"  # other brackets: ⟦1⟧ becomes [1]
    CHANGE_NUMBER = "change_number"
    ANSWER_QUESTION = "answer_question"
    WRONG_LANGUAGE = "wrong_language"
    CHATTY_PREFACE = "chatty_preface"


@dataclass(frozen=True, slots=True)
class Misdeeds:
    """The share of translations, 0 to 1, that each misdeed spoils. A translation has one of them at most."""

    shares: Mapping[Misdeed, float] = field(default_factory=dict)
    seed: int = 0

    def draw(self, content: str) -> Misdeed | None:
        """What goes wrong with the translation that is asked for by ``content``."""
        point = random.Random(f"misdeed {self.seed} {content}").random()
        for misdeed, share in self.shares.items():
            if point < share:
                return misdeed
            point -= share
        return None


class Phrases(Section):
    """What a translator says who does not translate."""

    preface: str = Field(min_length=1)
    reply: str = Field(min_length=1, description="to a question, without a number")


def spoilt(misdeed: Misdeed, texts: Sequence[str], elsewhere: Sequence[str], language: str) -> list[str]:
    """``texts`` with one of them spoilt: the first that can be. ``elsewhere`` are the same in another language."""
    done = list(texts)
    for at, text in enumerate(texts):
        worse = elsewhere[at] if misdeed is Misdeed.WRONG_LANGUAGE else _spoilt(misdeed, text, phrases_of(language))
        if worse != text:
            done[at] = worse
            break
    return done


def _spoilt(misdeed: Misdeed, text: str, phrases: Phrases) -> str:
    """``text``, worse; as it is where there is nothing to spoil."""
    match misdeed:
        case Misdeed.DROP_PLACEHOLDER:
            return _PLACEHOLDER.sub("", text, count=1)
        case Misdeed.DOUBLE_PLACEHOLDER:
            return _PLACEHOLDER.sub(r"\g<0> \g<0>", text, count=1)
        case Misdeed.TOUCH_PLACEHOLDER:
            return _PLACEHOLDER.sub(lambda found: f"[{found[0][1:-1]}]", text, count=1)
        case Misdeed.CHANGE_NUMBER:
            return _NUMBER.sub(lambda found: str(int(found[0]) + 7), text, count=1)
        case Misdeed.ANSWER_QUESTION:
            return phrases.reply if _QUESTION.search(text) else text
        case Misdeed.CHATTY_PREFACE:
            return f"{phrases.preface}\n\n{text}"
        case Misdeed.WRONG_LANGUAGE:
            return text


class _AllPhrases(Section):
    languages: Mapping[str, Phrases]
    others: Phrases


@cache
def _all_phrases() -> _AllPhrases:
    return read_yaml(TEMPLATES / "misdeeds.yaml", _AllPhrases, PromptError, {})


def phrases_of(language: str) -> Phrases:
    """The phrases of ``language``; for one that is not listed, English ones."""
    known = _all_phrases()
    return known.languages.get(language, known.others)

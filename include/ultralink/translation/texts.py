"""What of an English row is translated: its texts, masked, in windows; and its messages put together again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ultralink.pool.row import EnglishRow, Kind
from ultralink.prompts import TEXT_TAG, Pair
from ultralink.recipe import Translation
from ultralink.teacher.request import Message, Request
from ultralink.tokens import count_tokens
from ultralink.translation.answers import cut_answer, with_endings
from ultralink.translation.comments import CodeBlock, comments, python_blocks, rewritten
from ultralink.translation.masks import Masked, Span, mask, prose

EARLIER_MESSAGES = 4  # that a later window is shown: two exchanges
VERDICT_TOKENS = 15  # {"faithful": true, "problem": "", "quote": ""}

_ASKED = re.compile(r"<text (\d+)>\n(.*?)\n</text \1>", re.DOTALL)
_WORDS = re.compile(r"[^\W\d_]+|\s+")


class Texts(BaseModel):
    """The translator's answer: a translation for each text, in the order of the texts."""

    model_config = ConfigDict(extra="forbid")

    texts: list[str]


class English(BaseModel):
    """The same for translations back into English."""

    model_config = ConfigDict(extra="forbid")

    english: list[str]


# --- a message and its texts --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Commented:
    """A Python block whose comments are translated; it stands in the span that is so numbered, from 0."""

    span: int
    block: CodeBlock
    comments: tuple[Masked, ...]

    def translated(self, span: Span, texts: Iterator[str]) -> Span:
        """The span with its comments taken from ``texts``. Raises NotIdentical."""
        told = [comment.restore(next(texts) if has_words(comment) else comment.text) for comment in self.comments]
        code = self.block.placed(rewritten(self.block.code, told))
        return replace(span, text=span.text[: self.block.start] + code + span.text[self.block.end :])


@dataclass(frozen=True, slots=True)
class Part:
    """A message as it is translated: its masked prose, the comments of its code, and the endings left out."""

    role: Literal["system", "user", "assistant"]
    masked: Masked
    endings: tuple[str, ...]
    blocks: tuple[Commented, ...]

    @property
    def asked(self) -> list[Masked]:
        """The texts that the translator gets, the prose before the comments; without words there is none."""
        every = [self.masked, *(comment for block in self.blocks for comment in block.comments)]
        return [text for text in every if has_words(text)]

    @property
    def tokens(self) -> int:
        """Of all that the translator gets."""
        return sum(count_tokens(text.text) for text in self.asked)

    def prose(self, texts: Sequence[str]) -> str:
        """The translated prose, still masked."""
        return texts[0] if has_words(self.masked) and texts else self.masked.text

    def message(self, texts: Sequence[str], phrase: str) -> Message:
        """The message with ``texts`` for those asked. Raises NotIdentical where they would change the code."""
        rest = iter(texts[has_words(self.masked) :])
        spans = list(self.masked.spans)
        for block in self.blocks:
            spans[block.span] = block.translated(spans[block.span], rest)
        body = replace(self.masked, spans=tuple(spans)).restore(self.prose(texts))
        return Message(self.role, with_endings(body, self.endings, phrase) if self.endings else body)

    def draft(self, texts: Sequence[str]) -> Message:
        """What there is of the message, for a reject: the prose restored, everything else as it was."""
        return Message(self.role, self.masked.restore(self.prose(texts)))


def has_words(text: Masked) -> bool:
    """Whether there is anything to translate beside placeholders, digits and signs."""
    return any(character.isalpha() for character in prose(text.text))


def parts_of(row: EnglishRow, rules: Translation) -> list[Part]:
    """The messages of ``row`` as they are translated: one Part each."""
    return [_part(message, row.kind, rules.translate_comments) for message in row.messages]


def _part(message: Message, kind: Kind, translate_comments: bool) -> Part:
    text, endings = message.content, tuple[str, ...]()
    if kind is Kind.MATH and message.role == "assistant":
        cut = cut_answer(text)
        text, endings = cut.body, cut.endings
    masked = sealed(mask(text))
    return Part(message.role, masked, endings, tuple(_commented(masked)) if translate_comments else ())


def sealed(masked: Masked) -> Masked:
    """``masked`` with the ``<`` of what looks like a tag of the prompt behind a placeholder too."""
    spans = list(masked.spans)

    def hide(found: re.Match[str]) -> str:
        spans.append(Span(found[0], is_block=False))
        return f"⟦{len(spans)}⟧"

    return Masked(TEXT_TAG.sub(hide, masked.text), tuple(spans))


def _commented(masked: Masked) -> Iterator[Commented]:
    for number, span in enumerate(masked.spans):
        for block in python_blocks(span.text) if span.is_block else ():
            found = tuple(sealed(mask(comment.text)) for comment in comments(block.code))
            if any(map(has_words, found)):
                yield Commented(number, block, found)


def with_edges(source: str, translated: str) -> str:
    """``translated`` with the blanks and line breaks around ``source``, of which translators take no care."""
    bare = source.strip()
    start = source.find(bare)
    return source[:start] + translated.strip() + source[start + len(bare) :]


# --- windows ----------------------------------------------------------------------------------


def windows(parts: Sequence[Part], kind: Kind, most_tokens: int) -> Iterator[list[Part]]:
    """The parts of each call: of a chat as many as have ``most_tokens`` together, at least one; else all."""
    window: list[Part] = []
    tokens = 0
    for part in parts:
        tokens += part.tokens
        if window and kind is Kind.CHAT and tokens > most_tokens:
            yield window
            window, tokens = [], part.tokens
        window.append(part)
    if window:
        yield window


@dataclass(frozen=True, slots=True)
class Done:
    """A message and its translation: the texts as the translator gave them, and the whole."""

    part: Part
    texts: tuple[str, ...]
    message: Message

    @property
    def pair(self) -> Pair:
        """The prose of both, still masked."""
        return Pair(self.part.masked.text, self.part.prose(self.texts))


def prose_pairs(done: Sequence[Done]) -> list[Pair]:
    """The pairs of all messages that have words beside their code."""
    return [each.pair for each in done if has_words(each.part.masked)]


def dealt(window: Sequence[Part], texts: Sequence[str]) -> Iterator[tuple[Part, tuple[str, ...]]]:
    """Each part with its share of ``texts``."""
    rest = iter(texts)
    for part in window:
        yield part, tuple(islice(rest, len(part.asked)))


def shown_earlier(done: Sequence[Done], most_tokens: int) -> list[Pair]:
    """The last messages before a window, at least one, and at most EARLIER_MESSAGES of ``most_tokens`` in English."""
    shown: list[Pair] = []
    tokens = 0
    for each in reversed(done[-EARLIER_MESSAGES:]):
        tokens += count_tokens(each.part.masked.text)
        if shown and tokens > most_tokens:
            break
        shown.insert(0, each.pair)
    return shown


# --- what an answer will cost ---------------------------------------------------------------------


def asked_texts(user: str) -> list[str]:
    """The texts that a translator's user message asks for."""
    return [found[2] for found in _ASKED.finditer(user)]


def expected_tokens(request: Request, token_ratio: float) -> int | None:
    """Tokens of the likely answer to a translator's request, for a dry run; None for any other request.

    ``token_ratio`` is the recipe's: tokens of the words, translation / source. JSON adds its own.
    """
    schema = request.schema.name if request.schema else ""
    texts = asked_texts(request.messages[1].content) if len(request.messages) > 1 else []
    match schema:
        case "Texts":
            return _answer_tokens(texts, token_ratio)
        case "English":
            return _answer_tokens(texts, 1 / token_ratio)
        case "Faithfulness":
            return VERDICT_TOKENS
        case _:
            return None


def likely_tokens(text: str, token_ratio: float) -> float:
    """Of the translation of ``text``: its words grow or shrink, all else stays as it is."""
    kept = count_tokens(_WORDS.sub("", text))
    return kept + (count_tokens(text) - kept) * token_ratio


def _answer_tokens(texts: Sequence[str], token_ratio: float) -> int:
    around = count_tokens(json.dumps({"texts": texts}, ensure_ascii=False)) - sum(map(count_tokens, texts))
    return max(1, round(around + sum(likely_tokens(text, token_ratio) for text in texts)))

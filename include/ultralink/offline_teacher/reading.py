"""What a request asks for: the prompts whose system message it carries tell language and step."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ultralink.pool import screen
from ultralink.prompts import Pair, Step, TranslationStep, Turn, load_prompts
from ultralink.teacher.request import Message
from ultralink.translation.texts import asked_texts

_DOCUMENT = re.compile(r"<document>\n(.*?)\n\n(.*?)\n</document>", re.DOTALL)
_TURN = re.compile(r"<question (\d+)>\n(.*?)\n</question \1>\n<answer \1>\n(.*?)\n</answer \1>", re.DOTALL)
_QUESTION = re.compile(r"<question>\n(.*?)\n</question>", re.DOTALL)
_DIALOGUE = re.compile(r"<dialogue>\n(.*)\n</dialogue>", re.DOTALL)
_SAID = re.compile(r"<(question|answer) (\d+)>\n(.*?)\n</\1 \2>", re.DOTALL)
_PAIR = re.compile(r"<source>\n(.*?)\n</source>\n<translation>\n(.*?)\n</translation>", re.DOTALL)
_POOL_LANGUAGE = "en"


class NotOurs(Exception):
    """The request was not made from prompts that this server knows."""


@dataclass(frozen=True, slots=True)
class Task:
    """One call of a dialogue, as the teacher understands it."""

    language: str
    step: Step
    title: str
    passage: str
    turns: tuple[Turn, ...]
    question: str
    told: bool  # a new attempt: the request says what was wrong with the last one
    content: str  # hexadecimal digest of all messages: what the drawing of phrases is seeded with

    @property
    def place(self) -> str:
        """Where in the dialogue: ``question.depth/2``."""
        return f"{self.step}/{len(self.turns)}"


@dataclass(frozen=True, slots=True)
class ScreenTask:
    """An English chat to be screened: what was said in it, in turn."""

    messages: tuple[str, ...]
    language: str = _POOL_LANGUAGE
    step: str = screen.STEP


@dataclass(frozen=True, slots=True)
class TranslationTask:
    """Texts to be translated, into ``language`` or back, or translations to be judged (``pairs``)."""

    language: str
    step: TranslationStep
    texts: tuple[str, ...]
    pairs: tuple[Pair, ...]
    content: str  # as in Task


AnyTask = Task | ScreenTask | TranslationTask
_AnyStep = Step | TranslationStep | Literal["screen"]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a system message comes from."""

    language: str
    step: _AnyStep


class PromptShelf:
    """The prompt books of some folders, read again when a file has changed."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._read: dict[Path, float] = {}
        self._steps: dict[str, _Place] = {}

    @property
    def languages(self) -> list[str]:
        """Codes of the languages on the shelf, sorted."""
        self._refresh()
        return sorted({place.language for place in self._steps.values()})

    def understand(self, messages: Sequence[Message]) -> AnyTask:
        """Raises NotOurs when no prompts here have this system message, or what they ask about is missing."""
        if len(messages) < 2 or messages[0].role != "system":
            raise NotOurs("expected a system message and a user message")
        system = messages[0].content
        if system not in self._steps:
            self._refresh()
        if system not in self._steps:
            raise NotOurs("the system message is in none of the prompt books (include/prompts), nor the screen's")
        place, asked = self._steps[system], messages[1].content
        content = digest(json.dumps([[message.role, message.content] for message in messages]))
        match place.step:
            case Step():
                return _dialogue_task(place.language, place.step, asked, content, told=len(messages) > 2)
            case TranslationStep():
                return _translation_task(place.language, place.step, asked, content)
            case _:
                return _screen_task(asked)

    def _refresh(self) -> None:
        books = [path for folder in self._folders for path in folder.glob("*.yaml")]
        files = {path: path.stat().st_mtime for path in [*books, screen.POOL_PROMPTS]}
        if files == self._read:
            return
        self._read = files
        self._steps = {screen.load_screen_prompts().system: _Place(_POOL_LANGUAGE, "screen")} | dict(_steps(books))


def _steps(books: Iterable[Path]) -> Iterator[tuple[str, _Place]]:
    for path in books:
        book = load_prompts(path.stem, path.parent)
        for step in Step:
            yield book.system(step), _Place(path.stem, step)
        if book.translation is not None:
            for translating in TranslationStep:
                yield book.translation.system(translating), _Place(path.stem, translating)


def _dialogue_task(language: str, step: Step, asked: str, content: str, *, told: bool) -> Task:
    document = _DOCUMENT.search(asked)
    if document is None:
        raise NotOurs("no passage between <document> and </document>")
    question = _QUESTION.search(asked, document.end())
    return Task(
        language=language,
        step=step,
        title=document[1],
        passage=document[2],
        turns=tuple(Turn(turn[2], turn[3]) for turn in _TURN.finditer(asked, document.end())),
        question=question[1] if question else "",
        told=told,
        content=content,
    )


def _screen_task(asked: str) -> ScreenTask:
    dialogue = _DIALOGUE.search(asked)
    said = tuple(found[3] for found in _SAID.finditer(dialogue[1])) if dialogue else ()
    if not said:
        raise NotOurs("no chat between <dialogue> and </dialogue>")
    return ScreenTask(said)


def _translation_task(language: str, step: TranslationStep, asked: str, content: str) -> TranslationTask:
    pairs = tuple(Pair(found[1], found[2]) for found in _PAIR.finditer(asked))
    texts = tuple(asked_texts(asked))
    if not (pairs if step is TranslationStep.JUDGE else texts):
        raise NotOurs("no text to be translated or judged")
    return TranslationTask(language, step, texts, pairs, content)


def digest(text: str) -> str:
    """Hexadecimal sha256 of ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()

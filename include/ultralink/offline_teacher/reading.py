"""What a request asks for: the prompt book whose system message it carries tells language and step."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ultralink.prompts import Step, Turn, load_prompts
from ultralink.teacher.request import Message

_DOCUMENT = re.compile(r"<document>\n(.*?)\n\n(.*?)\n</document>", re.DOTALL)
_TURN = re.compile(r"<question (\d+)>\n(.*?)\n</question \1>\n<answer \1>\n(.*?)\n</answer \1>", re.DOTALL)
_QUESTION = re.compile(r"<question>\n(.*?)\n</question>", re.DOTALL)


class NotOurs(Exception):
    """The request was not made from a prompt book that this server knows."""


@dataclass(frozen=True, slots=True)
class Task:
    """One call, as the teacher understands it."""

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


class PromptShelf:
    """The prompt books of some folders, read again when a file has changed."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._read: dict[Path, float] = {}
        self._steps: dict[str, tuple[str, Step]] = {}

    @property
    def languages(self) -> list[str]:
        """Codes of the languages on the shelf, sorted."""
        self._refresh()
        return sorted({language for language, _ in self._steps.values()})

    def understand(self, messages: Sequence[Message]) -> Task:
        """Raises NotOurs when no book on the shelf has this system message, or the passage is missing."""
        if len(messages) < 2 or messages[0].role != "system":
            raise NotOurs("expected a system message and a user message")
        system = messages[0].content
        if system not in self._steps:
            self._refresh()
        if system not in self._steps:
            raise NotOurs("the system message is in none of the prompt books (include/prompts)")
        language, step = self._steps[system]
        asked = messages[1].content
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
            told=len(messages) > 2,
            content=digest(json.dumps([[message.role, message.content] for message in messages])),
        )

    def _refresh(self) -> None:
        files = {path: path.stat().st_mtime for folder in self._folders for path in folder.glob("*.yaml")}
        if files == self._read:
            return
        self._read = files
        self._steps = dict(_steps(files))


def _steps(files: Iterable[Path]) -> Iterable[tuple[str, tuple[str, Step]]]:
    for path in files:
        book = load_prompts(path.stem, path.parent)
        for step in Step:
            yield book.system(step), (path.stem, step)


def digest(text: str) -> str:
    """Hexadecimal sha256 of ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()

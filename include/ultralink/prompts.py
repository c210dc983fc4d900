"""The prompt book: what the teacher is told in one language, read from include/prompts/<code>.yaml.

A prompt has the paper's slots (Fig. 4): task and hard requirements (system), then advice, the passage
between separators, and the dialogue so far (user). All that comes from Wikipedia or from the teacher is
data. It is put in by plain substitution after its separators are defused, so a passage can neither close its
own separator nor pose as a turn of the dialogue.

The prompts of a translation are built alike. What is the same for all rows stands first and what changes last, so
that a provider's prefix cache can serve the system message.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, field_validator

from ultralink.errors import PromptError
from ultralink.gates import Finding, Gate
from ultralink.pool.row import Kind
from ultralink.recipe import INCLUDE, Section, read_yaml
from ultralink.teacher.request import Message
from ultralink.translation.checks import Check, Fault
from ultralink.wikipedia.article import Passage

PROMPTS = INCLUDE / "prompts"
Told = TypeVar("Told", bound=StrEnum)

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_BEFORE_NAME = r"[<＜](?=[\s/\\\u200b-\u200f\u2060\ufeff]*"
_TAG = re.compile(rf"{_BEFORE_NAME}(?:document|dialogue|question|answer)\b)", re.IGNORECASE)
# The ``<`` of what looks like a separator of a translation's prompt.
TEXT_TAG = re.compile(rf"{_BEFORE_NAME}(?:text|earlier|source|translation)\b)", re.IGNORECASE)


class Step(StrEnum):
    """The calls of a dialogue; the name is the prompt's place in the file."""

    QUESTION_FIRST = "question.first"
    QUESTION_DEPTH = "question.depth"
    QUESTION_WIDTH = "question.width"
    ANSWER_FIRST = "answer.first"
    ANSWER_FOLLOWING = "answer.following"
    JUDGE = "judge"


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange that passed its gates."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A text of the teacher that failed its gates, and why: what a new attempt is told."""

    text: str
    findings: Sequence[Finding]


class TranslationStep(StrEnum):
    """The calls of a translation: one for each kind of row, and the two that look at the result."""

    CHAT = "translate.chat"
    MATH = "translate.math"
    CODE = "translate.code"
    BACK = "translate.back"
    JUDGE = "translate.judge"

    @classmethod
    def of(cls, kind: Kind) -> TranslationStep:
        """The step that translates rows of ``kind``."""
        return cls(f"translate.{kind}")


@dataclass(frozen=True, slots=True)
class Pair:
    """An English text and its translation."""

    source: str
    translation: str


@dataclass(frozen=True, slots=True)
class RefusedTexts:
    """Translations that failed their checks, and why: what a new attempt is told."""

    texts: Sequence[str]
    faults: Sequence[Fault]


def defuse(text: str) -> str:
    """``text`` with the ``<`` of everything that looks like one of our separators replaced by ``‹``."""
    return _TAG.sub("‹", text)


def defuse_texts(text: str) -> str:
    """The same for the separators of a translation."""
    return TEXT_TAG.sub("‹", text)


# --- the file ---------------------------------------------------------------------------------


def _template(*placeholders: str) -> AfterValidator:
    """A text that holds each of ``placeholders`` once, and no other."""

    def check(text: str) -> str:
        found = Counter(_PLACEHOLDER.findall(text))
        for name in placeholders:
            if found[name] != 1:
                raise ValueError(f"must hold {{{name}}} once, found it {found[name]} times")
        unknown = sorted(set(found) - set(placeholders))
        if unknown:
            known = ", ".join(placeholders) or "none"
            raise ValueError(f"unknown placeholder {{{unknown[0]}}}; known: {known}")
        return text

    return AfterValidator(check)


_Text = Annotated[str, Field(min_length=1), _template()]
_System = Annotated[str, _template("rules")]


class _FirstQuestion(Section):
    system: _System
    user: Annotated[str, _template("passage")]


class _NextQuestion(Section):
    system: _System
    user: Annotated[str, _template("passage", "history")]


class _Questions(Section):
    rules: _Text
    first: _FirstQuestion
    depth: _NextQuestion
    width: _NextQuestion


class _FirstAnswer(Section):
    system: _System
    user: Annotated[str, _template("passage", "question")]


class _NextAnswer(Section):
    system: _System
    user: Annotated[str, _template("passage", "history", "question")]


class _Answers(Section):
    rules: _Text
    first: _FirstAnswer
    following: _NextAnswer


class _Verdicts(Section):
    system: _Text
    user: Annotated[str, _template("passage", "history")]


_Prompt = _FirstQuestion | _NextQuestion | _FirstAnswer | _NextAnswer | _Verdicts


class _Request(Section):
    system: _Text
    user: Annotated[str, _template("texts")]


class TranslationPrompts(Section):
    """What a translator of English rows is told, in the language that it translates into."""

    rules: _Text
    chat: _System
    math: _System
    code: _System
    user: Annotated[str, _template("earlier", "texts")]
    again: Annotated[str, _template("findings")] = Field(description="asks for a new attempt")
    findings: Mapping[Annotated[Check, Field(strict=False)], _Text] = Field(
        description="per check: what was wrong, and what to do about it"
    )
    back: _Request = Field(description="translates back into English")
    judge: _Request = Field(description="judges whether a translation is faithful")

    @field_validator("findings")
    @classmethod
    def _complete(cls, texts: Mapping[Check, str]) -> Mapping[Check, str]:
        return _all_told(Check, texts)

    def fingerprint(self, kind: Kind) -> str:
        """16 hex digits of all texts that rows of ``kind`` read."""
        return _digest(self.model_dump(mode="json", exclude={each.value for each in Kind if each is not kind}))

    def system(self, step: TranslationStep) -> str:
        """The system message of ``step``: it holds no data, so it is the same for every row."""
        match step:
            case TranslationStep.CHAT:
                return _fill(self.chat, rules=self.rules)
            case TranslationStep.MATH:
                return _fill(self.math, rules=self.rules)
            case TranslationStep.CODE:
                return _fill(self.code, rules=self.rules)
            case TranslationStep.BACK:
                return self.back.system
            case TranslationStep.JUDGE:
                return self.judge.system

    def messages(
        self,
        kind: Kind,
        texts: Sequence[str],
        earlier: Sequence[Pair] = (),
        *,
        refused: RefusedTexts | None = None,
    ) -> list[Message]:
        """The request to translate ``texts`` of a row; ``earlier`` is what of the row is translated already.

        With ``refused`` it is a new attempt, told what was wrong with the last.
        """
        user = _fill(self.user, earlier=_earlier(earlier), texts=numbered(texts)).strip()
        sent = [Message("system", self.system(TranslationStep.of(kind))), Message("user", user)]
        if refused is None:
            return sent
        said = json.dumps({"texts": list(refused.texts)}, ensure_ascii=False)
        told = "\n".join(f"- {line}" for line in self._told(refused.faults))
        return [*sent, Message("assistant", said), Message("user", _fill(self.again, findings=told))]

    def back_messages(self, texts: Sequence[str]) -> list[Message]:
        """The request to translate ``texts`` back into English."""
        return _request(self.back, numbered(texts))

    def judge_messages(self, pairs: Sequence[Pair]) -> list[Message]:
        """The request to judge a translation."""
        return _request(self.judge, _pairs(pairs))

    def _told(self, faults: Sequence[Fault]) -> list[str]:
        """One line for each check that failed, with all that it found."""
        details: dict[Check, list[str]] = {}
        for fault in faults:
            details.setdefault(fault.check, []).append(defuse_texts(fault.detail))
        return [
            f"{self.findings[check]} ({'; '.join(found)})" if any(found) else self.findings[check]
            for check, found in details.items()
        ]


class PromptBook(Section):
    """All prompts of one language, in that language."""

    question: _Questions
    answer: _Answers
    judge: _Verdicts
    again: Annotated[str, _template("findings")] = Field(description="asks for a new attempt")
    findings: Mapping[Annotated[Gate, Field(strict=False)], _Text] = Field(
        description="per gate: what was wrong, and what to do about it"
    )
    document_request: _Text | None = Field(
        default=None, description="opens a dialogue that is released with its document; none: the document stands alone"
    )
    translation: TranslationPrompts | None = Field(default=None, description="none: no row is translated")

    @field_validator("findings")
    @classmethod
    def _complete(cls, texts: Mapping[Gate, str]) -> Mapping[Gate, str]:
        return _all_told(Gate, texts)

    def fingerprint(self, steps: Iterable[Step] = tuple(Step)) -> str:
        """16 hex digits of all texts that these steps read; another step's texts don't change it."""
        texts: dict[str, object] = {}
        for step in sorted(steps):
            texts[step] = [self.system(step), self._prompt(step)[0].user]
            if step is not Step.JUDGE:
                texts["again"] = self.again
                texts["findings"] = {gate.value: text for gate, text in self.findings.items()}
        return _digest(texts)

    def system(self, step: Step) -> str:
        """The system message of ``step``: it holds no data, so it is the same for every passage."""
        prompt, rules = self._prompt(step)
        return _fill(prompt.system, rules=rules)

    def messages(
        self,
        step: Step,
        passage: Passage,
        turns: Sequence[Turn] = (),
        *,
        question: str = "",
        refused: Refused | None = None,
    ) -> list[Message]:
        """The messages of ``step``: ``question`` is what an answer step answers.

        With ``refused`` it is a new attempt: the refused text follows as the teacher's own message, and what
        was wrong with it as the next request.
        """
        user = _fill(
            self._prompt(step)[0].user,
            passage=f"<document>\n{defuse(passage.article.title)}\n\n{defuse(passage.text)}\n</document>",
            history=f"<dialogue>\n{_history(turns)}\n</dialogue>",
            question=f"<question>\n{defuse(question)}\n</question>",
        )
        sent = [Message(role="system", content=self.system(step)), Message(role="user", content=user)]
        if refused is None:
            return sent
        if refused.text:  # some servers refuse an empty message
            sent.append(Message(role="assistant", content=defuse(refused.text)))
        gates = dict.fromkeys(finding.gate for finding in refused.findings)
        told = "\n".join(f"- {self.findings[gate]}" for gate in gates)
        sent.append(Message(role="user", content=_fill(self.again, findings=told)))
        return sent

    def _prompt(self, step: Step) -> tuple[_Prompt, str]:
        match step:
            case Step.QUESTION_FIRST:
                return self.question.first, self.question.rules
            case Step.QUESTION_DEPTH:
                return self.question.depth, self.question.rules
            case Step.QUESTION_WIDTH:
                return self.question.width, self.question.rules
            case Step.ANSWER_FIRST:
                return self.answer.first, self.answer.rules
            case Step.ANSWER_FOLLOWING:
                return self.answer.following, self.answer.rules
            case Step.JUDGE:
                return self.judge, ""


def _all_told(kinds: type[Told], texts: Mapping[Told, str]) -> Mapping[Told, str]:
    """``texts``, if there is one for each of ``kinds``."""
    missing = [kind.value for kind in kinds if not texts.get(kind, "").strip()]
    if missing:
        raise ValueError(f"no text for {', '.join(missing)}")
    return texts


def _digest(texts: Mapping[str, object]) -> str:
    canonical = json.dumps(texts, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _fill(template: str, **values: str) -> str:
    """One pass: braces inside a value stay as they are."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template)


def _history(turns: Sequence[Turn]) -> str:
    """Each turn as ``<question 1> … </question 1>`` and ``<answer 1> … </answer 1>``."""
    return "\n".join(
        f"<question {number}>\n{defuse(turn.question)}\n</question {number}>\n"
        f"<answer {number}>\n{defuse(turn.answer)}\n</answer {number}>"
        for number, turn in enumerate(turns, 1)
    )


def numbered(texts: Sequence[str]) -> str:
    """Each text between ``<text 1>`` and ``</text 1>``."""
    return "\n\n".join(
        f"<text {number}>\n{defuse_texts(text)}\n</text {number}>" for number, text in enumerate(texts, 1)
    )


def _earlier(pairs: Sequence[Pair]) -> str:
    return f"<earlier>\n{_pairs(pairs)}\n</earlier>" if pairs else ""


def _pairs(pairs: Sequence[Pair]) -> str:
    """Each pair as ``<source> … </source>`` and ``<translation> … </translation>``."""
    return "\n".join(
        f"<source>\n{defuse_texts(pair.source)}\n</source>\n"
        f"<translation>\n{defuse_texts(pair.translation)}\n</translation>"
        for pair in pairs
    )


def _request(request: _Request, texts: str) -> list[Message]:
    return [Message("system", request.system), Message("user", _fill(request.user, texts=texts))]


def load_prompts(language: str, folder: Path = PROMPTS) -> PromptBook:
    """The prompt book of ``language``. Raises PromptError naming the file and the field."""
    return read_yaml(folder / f"{language}.yaml", PromptBook, PromptError, {})

"""What is asked of the teacher, and the key under which its answer is journaled."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Literal

import msgspec

KEY_VERSION = 1  # part of every key: to be raised when the canonical form changes, which asks all again


class Form(Enum):
    """How a schema travels: not part of the key, for an answer is worth its price under any form."""

    JSON_SCHEMA = "json_schema"
    JSON_OBJECT = "json_object"
    INSTRUCTED = "instructed"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the teacher samples. ``max_tokens`` bounds the answer; ``seed`` None lets the server choose."""

    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 1024
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """A named JSON schema that the answer has to fit; ``text`` is its canonical JSON."""

    name: str
    text: str


@dataclass(frozen=True)
class Request:
    """One request, whole: nothing outside of it decides what the teacher is told.

    ``attempt`` tells apart asks that are meant to draw a new answer to the same prompt.
    """

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    schema: AnswerSchema | None = None
    attempt: int = 0

    @cached_property
    def key(self) -> str:
        """Hash of the whole content, 32 hex digits: the same content has the same key in any run."""
        content = (KEY_VERSION, self.model, self.messages, self.sampling, self.schema, self.attempt)
        return hashlib.blake2b(msgspec.json.encode(content), digest_size=16).hexdigest()

    def body(self, form: Form = Form.JSON_SCHEMA) -> bytes:
        """The JSON body of a chat completion; ``form`` says how the schema, if any, is put.

        With a seed set, each attempt has its own: the same seed would draw the same answer again.
        """
        sampling = self.sampling
        body: dict[str, object] = {
            "model": self.model,
            "messages": self._messages(form),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed + self.attempt
        if self.schema is not None and form is Form.JSON_SCHEMA:
            described = {
                "name": self.schema.name,
                "strict": True,
                "schema": msgspec.Raw(self.schema.text.encode()),
            }
            body["response_format"] = {"type": "json_schema", "json_schema": described}
        elif self.schema is not None and form is Form.JSON_OBJECT:
            body["response_format"] = {"type": "json_object"}
        return msgspec.json.encode(body)

    def _messages(self, form: Form) -> Sequence[Message]:
        if self.schema is None or form is Form.JSON_SCHEMA:
            return self.messages
        # On the last message, not as a system message: some chat templates take one of those only first.
        *before, last = self.messages
        return [*before, Message(last.role, f"{last.content}\n\n{instruction(self.schema)}")]


def instruction(schema: AnswerSchema) -> str:
    """The schema in words, for a server that does not enforce it."""
    return (
        "Answer with one JSON object and nothing else: no Markdown fence, no remark. "
        f"The object must fit this JSON schema:\n{schema.text}"
    )

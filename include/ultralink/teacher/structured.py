"""Structured answers: the schema asked for, the value found in the text, what to say when there is none."""

from __future__ import annotations

import enum
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel, ValidationError

from ultralink.teacher.request import AnswerSchema, Message

Model = TypeVar("Model", bound=BaseModel)
Json = dict[str, Any]

SHOWN_BACK = 2000  # characters of a wrong answer that its author is shown
# Refused by strict servers, or of no use to them; the answer is checked against the whole model in any case.
UNSUPPORTED = frozenset({"default", "title", "discriminator", "minLength", "maxLength", "uniqueItems"})
_FENCED = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.DOTALL)


@cache
def answer_schema(model: type[BaseModel]) -> AnswerSchema:
    """The JSON schema of ``model`` as strict servers want it: all fields required, no others allowed."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", model.__name__)[:64]
    schema = _strict(model.model_json_schema())
    return AnswerSchema(name, msgspec.json.encode(schema, order="sorted").decode())


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return {"$ref": node["$ref"]}
    kept = {key: value for key, value in node.items() if key not in UNSUPPORTED}
    if "oneOf" in kept:
        kept["anyOf"] = kept.pop("oneOf")
    if "properties" in node:
        kept["properties"] = {name: _strict(value) for name, value in node["properties"].items()}
        kept |= {"additionalProperties": False, "required": list(node["properties"])}
    for key in ("items", "anyOf", "prefixItems"):
        if key in kept:
            kept[key] = _strict(kept[key])
    if "$defs" in node:
        kept["$defs"] = {name: _strict(value) for name, value in node["$defs"].items()}
    return kept


@dataclass(frozen=True, slots=True)
class Fit(Generic[Model]):
    """The text holds one value of the model."""

    value: Model


@dataclass(frozen=True, slots=True)
class Misfit:
    """The text does not; ``reason`` is for the teacher and for the row's error."""

    reason: str


def fit(text: str, model: type[Model], finish_reason: str) -> Fit[Model] | Misfit:
    """The value in ``text``: the whole text, else the one fenced block, else the one bare object."""
    wrong = "it holds no JSON object"
    for candidate in _candidates(text):
        try:
            return Fit(model.model_validate_json(candidate))
        except ValidationError as problem:
            wrong = _explain(problem)
    if finish_reason == "length":
        wrong = f"it was cut off at the length limit, so be shorter ({wrong})"
    return Misfit(wrong)


def has_shape(text: str, schema: AnswerSchema) -> bool:
    """An object with all fields that ``schema`` requires can be read from ``text``."""
    required = _required(schema)
    for candidate in _candidates(text):
        try:
            found = msgspec.json.decode(candidate)
        except msgspec.DecodeError:
            continue
        return isinstance(found, dict) and required <= found.keys()
    return False


@cache
def _required(schema: AnswerSchema) -> frozenset[str]:
    return frozenset(msgspec.json.decode(schema.text).get("required", ()))


def correction(text: str, misfit: Misfit) -> tuple[Message, ...]:
    """The wrong answer and the finding, to be asked after the messages that led to it."""
    finding = f"Your answer cannot be used: {misfit.reason}. Give it again, corrected, as one JSON object."
    asked = Message("user", finding)
    # Some servers refuse an empty message.
    return (Message("assistant", text[:SHOWN_BACK]), asked) if text.strip() else (asked,)


def _candidates(text: str) -> Iterator[str]:
    yield text
    fenced = _FENCED.findall(text)
    if len(fenced) == 1:
        yield fenced[0]
    first, last = text.find("{"), text.rfind("}")
    if 0 <= first < last and (first, last) != (0, len(text) - 1):
        yield text[first : last + 1]


def _explain(problem: ValidationError) -> str:
    # The input is left out: it is the teacher's text, and may be long.
    found = problem.errors(include_input=False, include_url=False, include_context=False)[:5]
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}"[:200] for each in found)


# --- stand-ins ------------------------------------------------------------------------------------------


def stand_in(model: type[Model], filler: str) -> Model:
    """A value of ``model`` that nobody wrote, for a rehearsal: ``filler`` in each text. Not validated."""
    values = {name: _stand_in(field.annotation, filler) for name, field in model.model_fields.items()}
    return model.model_construct(**values)


def _stand_in(kind: Any, filler: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _stand_in(arguments[0], filler)
    if origin in (Union, types.UnionType):
        return _stand_in(arguments[0], filler)
    if origin is Literal:
        return arguments[0]
    if origin in (list, tuple):
        return origin([_stand_in(arguments[0], filler)] if arguments else [])
    if not isinstance(kind, type):
        return None
    if issubclass(kind, enum.Enum):
        return next(iter(kind))
    if issubclass(kind, BaseModel):
        return stand_in(kind, filler)
    return filler if kind is str else kind() if kind in (int, float, bool, dict, list, tuple, set) else None

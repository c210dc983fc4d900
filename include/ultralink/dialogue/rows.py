"""Rows before and after a dialogue: a passage from its row, a dialogue or what was turned down to its row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from functools import reduce
from operator import add
from typing import TypedDict

from ultralink.dialogue.outcome import Dialogue, Evidence, Spending, TurnedDown, messages_of
from ultralink.recipe import Recipe
from ultralink.teacher.request import Message
from ultralink.wikipedia.article import Article, Passage

SUBSET = "chat_specific"
STAGE = "dialogues"

Row = dict[str, object]


class PassageRow(TypedDict):
    """A row of the PASSAGES stage, as pyarrow gives it."""

    id: str
    page_id: int
    revision_id: int
    title: str
    url: str
    licence: str
    fetched: datetime
    categories: list[str]
    language_score: float
    index: int
    start: int
    end: int
    text: str
    tokens: int


def passage_of(row: PassageRow) -> Passage:
    """The passage of a PASSAGES row. Its article has no text and no token count, as the row has none."""
    article = Article(
        page_id=row["page_id"],
        revision_id=row["revision_id"],
        title=row["title"],
        url=row["url"],
        licence=row["licence"],
        fetched=row["fetched"],
        text="",
        tokens=0,
        language_score=row["language_score"],
        categories=tuple(row["categories"]),
    )
    return Passage(row["id"], article, row["index"], row["start"], row["end"], row["text"], row["tokens"])


def dialogue_row(dialogue: Dialogue, recipe: Recipe, model: str, prompts: str, made_by: str) -> Row:
    """A row of the DIALOGUES stage.

    ``model`` is the one asked for, ``prompts`` the prompt book's fingerprint, ``made_by`` the part's.
    """
    total = reduce(add, dialogue.spent.values(), Spending())
    return {
        "id": row_id(dialogue.passage, recipe),
        "language": recipe.language,
        "subset": SUBSET,
        "messages": _messages(messages_of(dialogue.turns)),
        "source": _source(dialogue.passage),
        "teacher": {
            "model": dialogue.served,
            "requested_model": model,
            "prompts": prompts,
            "temperature": recipe.teacher.temperature,
            "top_p": recipe.teacher.top_p,
            "asks": total.asks,
            "prompt_tokens": total.prompt,
            "cached_tokens": total.cached,
            "completion_tokens": total.completion,
            "cost_usd": total.cost_usd,
        },
        "scores": list(dialogue.scores.items()),
        "created": datetime.fromisoformat(dialogue.created),
        "fingerprint": made_by,
        "evidence": _evidence(dialogue.evidence),
    }


def turned_down_row(turned_down: TurnedDown, recipe: Recipe, made_by: str) -> Row:
    """A row of the DIALOGUE_REJECTS stage. The id of a turn dropped by itself ends with ``-turn<n>``."""
    suffix = f"-turn{turned_down.turn}" if turned_down.turn else ""
    return {
        "id": row_id(turned_down.passage, recipe) + suffix,
        "language": recipe.language,
        "subset": SUBSET,
        "stage": STAGE,
        "gate": turned_down.gate,
        "reason": turned_down.reason,
        "attempts": turned_down.attempts,
        "messages": _messages(turned_down.messages),
        "source": _source(turned_down.passage),
        "created": datetime.fromisoformat(turned_down.created) if turned_down.created else None,
        "fingerprint": made_by,
        "evidence": _evidence(turned_down.evidence),
    }


def row_id(passage: Passage, recipe: Recipe) -> str:
    """``<language>-chat_specific-<passage id>``."""
    return f"{recipe.language}-{SUBSET}-{passage.id}"


def _messages(said: Sequence[Message]) -> list[Row]:
    return [{"role": message.role, "content": message.content} for message in said]


def _evidence(found: tuple[Evidence, ...] | None) -> list[Row] | None:
    return None if found is None else [asdict(each) for each in found]


def _source(passage: Passage) -> Row:
    article = passage.article
    return {
        "kind": "wikipedia",
        "page_id": article.page_id,
        "revision_id": article.revision_id,
        "title": article.title,
        "url": article.url,
        "licence": article.licence,
        "fetched": article.fetched,
        "categories": list(article.categories),
        "passage_id": passage.id,
        "passage_start": passage.start,
        "passage_end": passage.end,
        "passage": passage.text,
    }

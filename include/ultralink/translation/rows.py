"""A translated row, one that was turned down, and an English row taken as it is, as rows of their stages."""

from __future__ import annotations

from datetime import datetime

from ultralink.pool.row import EnglishRow
from ultralink.pool.rows import messages_row, source_block
from ultralink.recipe import Recipe
from ultralink.translation.program import NotTranslated, Translated

Row = dict[str, object]
STAGE = "translations"


def translated_row(done: Translated, recipe: Recipe, model: str, prompts: str, made_by: str) -> Row:
    """A row of TRANSLATIONS. ``model`` is the one asked for, ``prompts`` their fingerprint, ``made_by`` the part's."""
    spent = done.spent
    teacher = {
        "model": done.served,
        "requested_model": model,
        "prompts": prompts,
        "temperature": recipe.teacher.temperature,
        "top_p": recipe.teacher.top_p,
        "asks": spent.asks,
        "prompt_tokens": spent.prompt,
        "cached_tokens": spent.cached,
        "completion_tokens": spent.completion,
        "cost_usd": spent.cost_usd,
    }
    return {
        "id": _id(done.row, recipe),
        "language": recipe.language,
        "subset": done.row.kind.subset,
        "messages": messages_row(done.messages),
        "source": source_block(done.row),
        "teacher": teacher,
        "scores": list(done.scores.items()),
        "created": datetime.fromisoformat(done.created),
        "fingerprint": made_by,
    }


def not_translated_row(failed: NotTranslated, recipe: Recipe, made_by: str) -> Row:
    """A row of TRANSLATION_REJECTS: what the teacher said last, beside its English source."""
    return {
        "id": _id(failed.row, recipe),
        "language": recipe.language,
        "subset": failed.row.kind.subset,
        "stage": STAGE,
        "gate": failed.check,
        "reason": failed.reason,
        "attempts": failed.attempts,
        "messages": messages_row(failed.messages),
        "source": source_block(failed.row),
        "created": datetime.fromisoformat(failed.created) if failed.created else None,
        "fingerprint": made_by,
    }


def direct_row(row: EnglishRow, recipe: Recipe, made_by: str, taken: datetime) -> Row:
    """An English row as a sample of English: no teacher took part. ``taken`` is when the night chose it."""
    return {
        "id": _id(row, recipe),
        "language": recipe.language,
        "subset": row.kind.subset,
        "messages": messages_row(row.messages),
        "source": source_block(row),
        "teacher": None,
        "scores": [],
        "created": taken,
        "fingerprint": made_by,
    }


def _id(row: EnglishRow, recipe: Recipe) -> str:
    """``<language>-<subset>-<id of the English row>``."""
    return f"{recipe.language}-{row.kind.subset}-{row.id}"

"""Nights for the tests of stages: a recipe with a few fields replaced, a store, and what lies in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa

from ultralink.errors import RecipeError
from ultralink.prompts import load_prompts
from ultralink.recipe import LANGUAGES, Recipe, read_yaml
from ultralink.schemas import ARTICLE_REJECTS, ARTICLES, SELECTION, Stage
from ultralink.stages.night import Night
from ultralink.store import Part, Store

DATES = ("2026-11-01", "2026-11-02", "2026-11-03")
MODEL = "offline-teacher"
SHORT: dict[str, object] = {  # articles of a few sentences, cut into one passage
    "wikipedia.document_tokens": {"min": 20, "max": 10_000},
    "wikipedia.passage_tokens": {"min": 20, "max": 2000},
}

TOPICS = [
    "Anvil", "Barrel", "Candle", "Drum", "Easel", "Flute", "Gate", "Hammer", "Inkwell", "Jug", "Kettle",
]  # fmt: skip


def wikitext(topic: str, verb: str = "made") -> str:
    """A short article about ``topic``, all of it kept by the cleaning but the last section."""
    return (
        f"The '''{topic.lower()}''' is an old thing that people have {verb} for many hundreds of years in villages "
        f"and in towns. A good {topic.lower()} was expensive, and families handed it down to their children.\n\n"
        f"== Use ==\nEvery workshop had at least one {topic.lower()}, and the apprentice had to keep it clean. "
        f"When it broke, it was mended rather than thrown away.\n\n== References ==\nNone.\n[[Category:Old things]]"
    )


def recipe(language: str = "en", overlay: Mapping[str, object] | None = None) -> Recipe:
    """The configured recipe with dotted fields replaced."""
    return read_yaml(LANGUAGES / f"{language}.yaml", Recipe, RecipeError, dict(overlay or {}))


def night(
    store: Store | Path | str,
    language: str = "en",
    overlay: Mapping[str, object] | None = None,
    **changes: object,
) -> Night:
    """A night on ``store`` (or at that path or URL); ``changes`` replace fields of Night."""
    settings: dict[str, object] = {
        "recipe": recipe(language, overlay),
        "book": load_prompts(language),
        "store": store if isinstance(store, Store) else Store.at(str(store)),
        "date": DATES[0],
        "run_id": "manual__1",
        "articles": 5,
        "shards": 1,
        "model": MODEL,
    }
    return Night(**{**settings, **changes})  # type: ignore[arg-type]


def as_before(part: Part) -> None:
    """Write the part again as it was before evidence was kept: the same rows in a schema without that column."""
    stamp = part.stamp_or_missing("write it first")
    rows = [{name: value for name, value in row.items() if name not in part.stage.added} for row in part.rows()]
    names = [field for field in part.stage.schema if field.name not in part.stage.added]
    older = Stage(part.stage.name, part.stage.version, pa.schema(names))
    Part(part.store, older, part.path).write(rows, stamp.fingerprint)


def column(night: Night, stage: Stage, name: str, shard: int = 0) -> list[object]:
    """One column of a part."""
    return [row[name] for row in night.part(stage, shard).rows([name])]


def of_all_shards(night: Night, stage: Stage, name: str) -> list[object]:
    """One column of the parts of all shards."""
    return [value for shard in range(night.shards) for value in column(night, stage, name, shard)]


def chosen(night: Night) -> list[int]:
    """Page ids of the night's selection, in order."""
    return [row["page_id"] for row in night.part(SELECTION).rows(["page_id"])]  # type: ignore[misc]


def covered(night: Night) -> list[int]:
    """Page ids that became an article or were turned away, with repetitions, sorted."""
    sources = of_all_shards(night, ARTICLE_REJECTS, "source")
    rejected = [source["page_id"] for source in sources]  # type: ignore[index]
    return sorted([*of_all_shards(night, ARTICLES, "page_id"), *rejected])  # type: ignore[list-item]


def files(root: Path) -> dict[str, tuple[int, int]]:
    """Every file below ``root``, hidden ones too: inode and time of writing, which any write changes."""
    found = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def writes_nothing(root: Path, work: Callable[[], object]) -> object:
    """What ``work`` returns or raises; it must leave every file below ``root`` as it was."""
    before = files(root)
    try:
        return work()
    finally:
        assert files(root) == before

"""The manifest of a release, release.json: what it is made of, what is in it, and a checksum of every file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from ultralink import __version__
from ultralink.recipe import INCLUDE
from ultralink.release.plan import Plan
from ultralink.release.recipe import Format, ReleaseRecipe

MANIFEST = "release.json"
TOOL = f"ultralink {__version__}"

_PARQUET = re.compile(r"data/(?P<language>[^/]+?)_(?P<subset>chat_specific|chat_agnostic|math|code)/(?P<split>\w+)-")
_USER = re.compile(r"(?<=://)[^/@]*@")


class ReleasedFile(BaseModel):
    """A file of the release; ``path`` is that within it. ``rows``: 0 if it is no table."""

    model_config = ConfigDict(frozen=True)

    path: str
    format: str
    rows: int
    bytes: int
    sha256: str


class ReleasedNight(BaseModel):
    """A night that the release is made of; ``digest`` tells its content, ``rows`` are those before any removal."""

    model_config = ConfigDict(frozen=True)

    language: str
    date: str
    rows: int
    digest: str


class Configuration(BaseModel):
    """Rows of one subset of one language."""

    model_config = ConfigDict(frozen=True)

    language: str
    subset: str
    train: int
    validation: int

    @property
    def rows(self) -> int:
        """Of both splits."""
        return self.train + self.validation


class Manifest(BaseModel):
    """What a release says of itself. It is written last: a folder without it is no release."""

    model_config = ConfigDict(frozen=True)

    version: str
    created: datetime
    run_id: str
    tool: str
    fingerprint: str  # of what it is made of: equal for releases of the same nights with the same settings
    languages: tuple[str, ...]
    since: str | None
    until: str | None
    formats: tuple[Format, ...]
    missing: dict[str, tuple[str, ...]]  # language -> subsets that it should have but has not
    sources: tuple[ReleasedNight, ...]
    configurations: tuple[Configuration, ...]
    removed: dict[str, int]  # stage -> rows that it took out
    files: tuple[ReleasedFile, ...]
    recipe: dict[str, JsonValue]  # release.yaml as it was; of paths only what others may see

    @property
    def rows(self) -> int:
        """Of all configurations."""
        return sum(configuration.rows for configuration in self.configurations)

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)

    @classmethod
    def of(cls, plan: Plan, files: Sequence[ReleasedFile], removed: dict[str, int], created: datetime) -> Manifest:
        """The manifest of a planned release that has become ``files``."""
        return cls(
            version=plan.version,
            created=created,
            run_id=plan.run_id,
            tool=TOOL,
            fingerprint=plan.fingerprint,
            languages=plan.languages,
            since=plan.since,
            until=plan.until,
            formats=plan.formats,
            missing=plan.missing,
            sources=tuple(
                ReleasedNight(language=each.language, date=each.date, rows=each.rows, digest=each.digest)
                for each in plan.sources
            ),
            configurations=configurations(files),
            removed=removed,
            files=tuple(sorted(files, key=lambda file: file.path)),
            recipe=shareable(plan.recipe),
        )


def configurations(files: Iterable[ReleasedFile]) -> tuple[Configuration, ...]:
    """What the Parquet files hold, by language and subset, in the order of the files."""
    rows: Counter[tuple[str, str, str]] = Counter()
    for file in files:
        if found := _PARQUET.match(file.path):
            rows[found["language"], found["subset"], found["split"]] += file.rows
    names = dict.fromkeys((language, subset) for language, subset, _ in rows)
    return tuple(
        Configuration(
            language=language,
            subset=subset,
            train=rows[language, subset, "train"],
            validation=rows[language, subset, "validation"],
        )
        for language, subset in names
    )


def shareable(recipe: ReleaseRecipe) -> dict[str, JsonValue]:
    """The recipe without this machine's folders and without what a URL may hold of a password or a token."""
    sets = [one.model_copy(update={"path": _shareable(one.path)}) for one in recipe.decontamination.sets]
    safe = recipe.model_copy(
        update={
            "decontamination": recipe.decontamination.model_copy(update={"sets": sets}),
            "blocklists": {language: _shareable(path) for language, path in recipe.blocklists.items()},
        }
    )
    shown: dict[str, JsonValue] = safe.model_dump(mode="json")
    return shown


def _shareable(path: str) -> str:
    if "://" in path:
        return _USER.sub("", path.partition("?")[0])
    local = Path(path)
    return str(local.relative_to(INCLUDE)) if local.is_relative_to(INCLUDE) else local.name

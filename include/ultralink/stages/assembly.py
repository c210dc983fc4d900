"""The assembly of a release: one run of the release's pipeline, and where its parts lie until it is published."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import ValidationError

from ultralink.errors import PartitionChanged, PartMissing, RecipeError, SchemaMismatch
from ultralink.recipe import LANGUAGES, configured_languages
from ultralink.release.plan import Plan, SourcePart
from ultralink.release.recipe import SUBSETS, VERSION, Format, ReleaseRecipe, repeated
from ultralink.schemas import SAMPLES, STAGED_FILES, Stage
from ultralink.stages.partition import Work, is_date
from ultralink.store import Part, Store

ALL = "all"  # in a path, where a part is of no single language or subset
PROVENANCE, CARD = "provenance", "card"  # in a path, in the place of a language: files that are of no single one


@dataclass(frozen=True, kw_only=True)
class Assembly(Work):
    """What the trigger form and the recipe say of one release.

    ``version``: asked for; None: made of the last date. ``since`` and ``until``: partition dates, inclusive.
    """

    recipe: ReleaseRecipe
    languages: tuple[str, ...]
    formats: tuple[Format, ...]
    version: str | None = None
    since: str | None = None
    until: str | None = None
    allow_missing: bool = False

    def __post_init__(self) -> None:
        if self.version is not None and not re.fullmatch(VERSION, self.version):
            raise RecipeError(f"version {self.version!r}: letters, digits, '.', '_' and '-' only, and not 'latest'")
        for name, value in (("from_date", self.since), ("to_date", self.until)):
            if value is not None and not is_date(value):
                raise RecipeError(f"{name} {value!r}: must be a date such as 2026-11-23")
        if self.since and self.until and self.since > self.until:
            raise RecipeError(f"from_date {self.since} is after to_date {self.until}")
        if not self.languages:
            raise RecipeError("languages: at least one")
        for field, values in (("languages", self.languages), ("formats", self.formats)):
            if (twice := repeated(values)) is not None:
                raise RecipeError(f"{field}: '{twice}' is named twice")
        known = configured_languages()
        if unknown := [language for language in self.languages if language not in known]:
            raise RecipeError(f"languages: {unknown[0]!r} has no recipe in {LANGUAGES}; there are {', '.join(known)}")

    @property
    def key(self) -> str:
        """The run's name in paths."""
        return key_of(self.run_id)

    @cached_property
    def plan(self) -> Plan:
        """What this run releases. Raises PartMissing before it is planned, SchemaMismatch (of another version)."""
        text = self.store.read_text(self.plan_path)
        if text is None:
            raise PartMissing(f"{self.plan_path}: no such plan; run the task 'plan' of this run first")
        try:
            return Plan.model_validate_json(text)
        except ValidationError:
            raise SchemaMismatch(
                f"{self.plan_path}: is no plan of this version of ultralink; start a new run"
            ) from None

    @property
    def plan_path(self) -> str:
        """Where the plan lies."""
        return plan_path(self.store, self.run_id)

    def part(self, stage: Stage, language: str = ALL, subset: str = ALL) -> Part:
        """A part of this run alone."""
        return self.store.below(f"assembly/{self.key}").part(stage, language, subset)

    def samples(self, source: SourcePart) -> Part:
        """The samples of a night."""
        return self.store.part(SAMPLES, source.language, source.date)

    def unchanged_samples(self, source: SourcePart) -> Part:
        """The samples of a night as they were planned. Raises PartMissing, PartitionChanged."""
        part = self.samples(source)
        stamp = part.stamp()
        if stamp is None:
            raise PartMissing(f"{part.path}: no such part any more; start a new run, which plans without it")
        if stamp.digest != source.digest:
            raise PartitionChanged(f"{part.path}: made anew since this release was planned; start a new run")
        return part

    def of_source(self, stage: Stage, source: SourcePart) -> Part:
        """A part that is made once per night and shared by all releases (FEATURES, FINDINGS)."""
        return self.store.part(stage, source.language, source.date)

    def of_sources(self, stage: Stage) -> list[Part]:
        """The parts of ``stage`` of all nights, in the plan's order."""
        return [self.of_source(stage, source) for source in self.plan.sources]

    def due(self, nights: list[SourcePart], stage: Stage, made_by: Mapping[SourcePart, str]) -> list[SourcePart]:
        """Which of a task's nights are yet to be made in a stage that is kept per night; ``made_by``: fingerprints.

        A task that was cut short goes on where it stopped; where none is left, ``up_to_date`` decides for each.
        """
        if self.rebuild:
            return nights
        if lacking := [night for night in nights if self._fingerprint(stage, night) != made_by[night]]:
            return lacking
        of_source = self.of_source
        return [n for n in nights if not self.up_to_date(of_source(stage, n), made_by[n], [self.samples(n)])]

    def _fingerprint(self, stage: Stage, night: SourcePart) -> str | None:
        try:
            stamp = self.of_source(stage, night).stamp()
        except SchemaMismatch:  # of another version of ultralink: made again, as nothing is lost by it
            return None
        return stamp.fingerprint if stamp is not None else None

    @property
    def staging(self) -> str:
        """The folder in which the release grows; it is renamed when it is published."""
        return self.store.folder("releases", ".staging", self.key)

    def staged(self, path: str) -> str:
        """Where a file of the release is written; ``path`` is that within the release."""
        return f"{self.staging}/{path}"

    @property
    def configurations(self) -> list[tuple[str, str]]:
        """Language and subset of everything that may be exported."""
        return [(language, subset) for language in self.plan.languages for subset in SUBSETS]

    def staged_files(self) -> list[Part]:
        """The lists of files of all exports, of the provenance and of the card."""
        return [
            *(self.part(STAGED_FILES, *each) for each in self.configurations),
            self.part(STAGED_FILES, PROVENANCE),
            self.part(STAGED_FILES, CARD),
        ]


def key_of(run_id: str) -> str:
    """A run's name in paths."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", run_id).strip("-")[:40]
    return f"{readable}-{hashlib.blake2b(run_id.encode(), digest_size=4).hexdigest()}"


def plan_path(store: Store, run_id: str) -> str:
    """Where a run's plan lies until its release is published."""
    return store.folder("assembly", key_of(run_id), "plan.json")

"""Plan a release: which published nights it is made of, and its version; a run plans once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count

from pydantic import ValidationError

from ultralink.errors import (
    NoPartitions,
    NothingNew,
    ReleaseExists,
    SchemaMismatch,
    SubsetMissing,
)
from ultralink.pool.row import Kind
from ultralink.pool.rows import LANGUAGE
from ultralink.recipe import load_recipe
from ultralink.release.claims import claim, give_back, owner_of
from ultralink.release.evaluation import read_items
from ultralink.release.leftovers import claim_path
from ultralink.release.manifest import Manifest
from ultralink.release.plan import Plan, SourcePart
from ultralink.release.recipe import SUBSETS, EvaluationSet
from ultralink.release.shelf import Shelf
from ultralink.schemas import SAMPLES
from ultralink.stages.assembly import Assembly
from ultralink.stages.partition import Built, is_date
from ultralink.stages.release_decontaminate import Measures
from ultralink.stages.statistics import Statistics, read_statistics, statistics_path
from ultralink.store import Store

CHAT_SPECIFIC = SUBSETS[0]


@dataclass(frozen=True)
class _Night:
    """A published night: its samples as a source, and how many there are by subset."""

    source: SourcePart
    samples: Mapping[str, int]


def published(assembly: Assembly) -> Manifest | None:
    """The release that this very run has published; None before that, and when it is no longer there.

    A task of such a run that is cleared has nothing to do but to say so: what it would read is tidied away, and a
    release never changes. Only ``publish_release`` goes on, to finish what a crash may have cut short.
    """
    shelf = Shelf(assembly.store)
    if assembly.store.read_text(assembly.plan_path) is None:
        return next((each for each in shelf.manifests() if each.run_id == assembly.run_id), None)
    return shelf.published_by(assembly.run_id, assembly.plan.version)


def plan_release(assembly: Assembly) -> Built:
    """Write plan.json: the nights of the languages that are complete and in range, and the release's version.

    A run that has a plan keeps it, so that no stage works on other nights than the one before.
    Raises NoPartitions, SubsetMissing, ReleaseExists, NothingNew (the same rows are released already),
    SchemaMismatch (a night that this version cannot read), EvaluationSetError, SourceUnreachable, RecipeError (a
    blocklist), StoreFull, StoreReadOnly.
    """
    out = (assembly.plan_path,)
    if (manifest := published(assembly)) is not None:
        return Built(out, f"Nothing to do: this run published release {manifest.version}, which never changes")
    if assembly.store.read_text(assembly.plan_path) is not None:
        return Built(out, f"Nothing to do: {_told(assembly.plan)} is planned; a new run takes newer nights")
    if assembly.version is not None and Shelf(assembly.store).is_taken(assembly.version):
        raise ReleaseExists(_exists(assembly.store, assembly.version))
    nights = _nights(assembly)
    missing = _missing(assembly, nights)
    if missing and not assembly.allow_missing:
        raise SubsetMissing(_complaint(assembly, nights, missing))
    _read_all(assembly.recipe.decontamination.sets)
    plan = _plan(assembly, nights, missing)
    assembly.store.write_text(assembly.plan_path, plan.model_dump_json(indent=1))
    return Built(out, f"Planned {_told(plan)}{_rivals(assembly, plan.version)}")


def _told(plan: Plan) -> str:
    nights = f"{len(plan.sources)} {'night' if len(plan.sources) == 1 else 'nights'}"
    return f"release {plan.version}: {plan.rows} samples of {nights} in {', '.join(plan.languages)}"


def _exists(store: Store, version: str) -> str:
    path = Shelf(store).path(version)
    return f"{path}: the version is taken, and a release never changes; name another one, or none to have one made"


# --- nights -----------------------------------------------------------------------------------------


def _nights(assembly: Assembly) -> list[_Night]:
    """In the order that decides which of two equal rows stays. Raises NoPartitions, SchemaMismatch."""
    there = {language: _dates(assembly.store, language) for language in assembly.languages}
    found = [
        night
        for date in sorted({date for dates in there.values() for date in dates if _is_in_range(assembly, date)})
        for language, dates in there.items()
        if date in dates and (night := _night(assembly.store, language, date)) is not None
    ]
    if not any(night.source.rows for night in found):
        has = "; ".join(f"{language}: {_span(dates)}" for language, dates in there.items())
        what = "nights that are published hold no sample" if found else "no night is published"
        raise NoPartitions(
            f"{what} {_range(assembly)} in {', '.join(assembly.languages)}. Nights there are: {has}. "
            "Change from_date, to_date or languages, or wait for the languages' runs"
        )
    return found


def _dates(store: Store, language: str) -> list[str]:
    """Of all nights with samples; a folder beside them, such as a copy of a night, is none."""
    return [date for date in store.dates(SAMPLES, language) if is_date(date)]


def _is_in_range(assembly: Assembly, date: str) -> bool:
    return (assembly.since or date) <= date <= (assembly.until or date)


def _night(store: Store, language: str, date: str) -> _Night | None:
    """A published night: of its parts, the samples appear last. None if they are gone since they were listed."""
    part = store.part(SAMPLES, language, date)
    stamp = part.stamp()
    if stamp is None:
        return None
    try:
        statistics = read_statistics(store, language, date)
    except ValidationError as error:
        path, first = statistics_path(store, language, date), error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "(whole file)"
        raise SchemaMismatch(
            f"{path}: {field}: {first['msg']}; these are no figures of this version: publish the night again"
        ) from None
    source = SourcePart(language=language, date=date, path=part.path, rows=stamp.rows, digest=stamp.digest)
    if statistics is not None and statistics.samples == stamp.rows:
        return _Night(source, _by_subset(statistics))
    # Its figures are lost, or it is being published again: then they are new already, and the samples the old ones.
    return _Night(source, Counter(str(row["subset"]) for row in part.rows(["subset"])))


def _by_subset(statistics: Statistics) -> dict[str, int]:
    return {name: subset.samples for name, subset in statistics.subsets.items()}


def _range(assembly: Assembly) -> str:
    return f"from {assembly.since or 'the first'} to {assembly.until or 'the last'}"


def _span(dates: list[str]) -> str:
    if not dates:
        return "none"
    return dates[0] if len(dates) == 1 else f"{len(dates)} from {dates[0]} to {dates[-1]}"


# --- subsets ----------------------------------------------------------------------------------------


def expected_subsets(language: str) -> tuple[str, ...]:
    """The subsets that the language's recipe makes. Raises RecipeError."""
    recipe = load_recipe(language)
    takes_english = recipe.translation is not None or language == LANGUAGE
    budgets = {
        Kind.CHAT: recipe.agnostic.chat.budget,
        Kind.MATH: recipe.agnostic.math.budget,
        Kind.CODE: recipe.agnostic.code.budget,
    }
    return (CHAT_SPECIFIC, *(kind.subset for kind in Kind if takes_english and budgets[kind]))


def _missing(assembly: Assembly, nights: Iterable[_Night]) -> dict[str, tuple[str, ...]]:
    """Of each language that lacks some, the subsets without a sample in any night."""
    samples: Counter[tuple[str, str]] = Counter()
    for night in nights:
        for subset, rows in night.samples.items():
            samples[night.source.language, subset] += rows
    lacking = {
        language: tuple(subset for subset in expected_subsets(language) if not samples[language, subset])
        for language in assembly.languages
    }
    return {language: subsets for language, subsets in lacking.items() if subsets}


def _complaint(assembly: Assembly, nights: Iterable[_Night], missing: Mapping[str, tuple[str, ...]]) -> str:
    count_of = Counter(night.source.language for night in nights)
    each = [
        f"{language} has no sample of {', '.join(subsets)} in its {_nights_of(count_of[language])}"
        if count_of[language]
        else f"{language} has no published night"
        for language, subsets in missing.items()
    ]
    return (
        f"{_range(assembly)}: {'; '.join(each)}. Have its nights run, widen the range, leave the language out, "
        "or run with allow_missing"
    )


def _nights_of(number: int) -> str:
    return "night" if number == 1 else f"{number} nights"


def _read_all(sets: Iterable[EvaluationSet]) -> None:
    """Raises EvaluationSetError and SourceUnreachable now rather than after the rows are measured."""
    for evaluation in sets:
        for _ in read_items(evaluation):
            pass


# --- the plan and its version -----------------------------------------------------------------------


def _plan(assembly: Assembly, nights: list[_Night], missing: dict[str, tuple[str, ...]]) -> Plan:
    plan = Plan(
        version=assembly.version or "",
        run_id=assembly.run_id,
        languages=assembly.languages,
        since=assembly.since,
        until=assembly.until,
        formats=assembly.formats,
        missing=missing,
        sources=tuple(night.source for night in nights),
        recipe=assembly.recipe,
        measures=Measures.of(assembly.recipe, assembly.languages).digest,
    )
    if assembly.version is not None:
        # Who names a version may be making it again after a run that died: the first to publish gets it.
        claim(assembly.store, claim_path(assembly.store, assembly.version), assembly.key)
        return plan
    return plan.model_copy(update={"version": _new_version(assembly, plan)})


def _new_version(assembly: Assembly, plan: Plan) -> str:
    """The last date, with a number where that is taken. Raises NothingNew."""
    store, shelf = assembly.store, Shelf(assembly.store)
    for manifest in shelf.manifests():
        if manifest.fingerprint == plan.fingerprint:
            raise NothingNew(f"Nothing new: release {manifest.version} has exactly these rows.")
    last = plan.sources[-1].date.replace("-", ".")
    for number in count(1):
        version = last if number == 1 else f"{last}-{number}"
        path = claim_path(store, version)
        if shelf.is_taken(version) or not claim(store, path, assembly.key):
            continue
        if not shelf.is_taken(version):  # nor was it published in the moment before the claim
            return version
        give_back(store, path, assembly.key)
    raise AssertionError("numbers never end")


def _rivals(assembly: Assembly, version: str) -> str:
    owner = owner_of(assembly.store, claim_path(assembly.store, version))
    if owner in (None, assembly.key):
        return ""
    return f"; run {owner} means to publish this version too, and the first one to do so gets it"

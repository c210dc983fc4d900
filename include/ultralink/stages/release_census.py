"""The census of a release: one pass over its rows' features, a night at a time, counted into ReleaseStatistics."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultralink.release.attribution import Article, Cited, attribution_path
from ultralink.release.diversity import effective_number
from ultralink.release.plan import SourcePart
from ultralink.release.recipe import SUBSETS
from ultralink.release.sample import Chosen, chosen_rows, measured
from ultralink.release.statistics import (
    SCORE_BINS,
    Attribution,
    Category,
    Configuration,
    CountedRows,
    Diversity,
    EnglishSource,
    Lengths,
    LicenceRows,
    ModelUse,
    NightRows,
    RejectedRows,
    ReleaseStatistics,
    RemovedRows,
    Scores,
    TeacherRows,
    Topics,
    total,
)
from ultralink.schemas import FEATURES, FINDINGS, LEDGER, PLACES, REJECTS, REMOVED, STAGED_FILES, Stage
from ultralink.stages.assembly import Assembly
from ultralink.store import Part

TOP_CATEGORIES = 10
_NOT_COUNTED = ("id", "text_key", "signature", "passage_start", "passage_end")
_COLUMNS = [name for name in FEATURES.schema.names if name not in _NOT_COUNTED]
_LANGUAGE_SCORE = "language"
_Key = TypeVar("_Key", str, tuple[str, str], tuple[str, str, str], tuple[str, str, str, str], tuple[str, ...])


class LanguageCensus(NamedTuple):
    """A language's figures, and its articles, which are listed for themselves."""

    configurations: list[Configuration]
    nights: list[NightRows]
    scores: Scores
    topics: Topics
    articles: dict[Article, Cited]
    licences: Counter[tuple[str, str]]  # licence, kind
    english: Counter[tuple[str, str]]  # data set, licence
    urls: dict[str, str]  # of the English data sets
    teachers: Counter[str]


# --- one language ---------------------------------------------------------------------------------


@dataclass
class _Count:
    """Counts of one subset on the way."""

    turns: Counter[int] = field(default_factory=Counter)
    question_tokens: int = 0
    answer_tokens: int = 0

    def lengths(self) -> Lengths:
        return Lengths(
            dialogues=self.turns.total(),
            turns=sum(turns * rows for turns, rows in self.turns.items()),
            question_tokens=self.question_tokens,
            answer_tokens=self.answer_tokens,
        )


@dataclass
class _Counting:
    """Everything that is counted of a language's released rows."""

    subsets: dict[str, _Count] = field(default_factory=lambda: {subset: _Count() for subset in SUBSETS})
    scores: NDArray[np.int64] = field(default_factory=lambda: np.zeros(SCORE_BINS, dtype=np.int64))
    categories: Counter[str] = field(default_factory=Counter)
    with_category: int = 0
    articles: dict[Article, Cited] = field(default_factory=dict)
    licences: Counter[tuple[str, str]] = field(default_factory=Counter)
    english: Counter[tuple[str, str]] = field(default_factory=Counter)
    urls: dict[str, str] = field(default_factory=dict)
    teachers: Counter[str] = field(default_factory=Counter)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count rows of FEATURES."""
        self._add_lengths(batch)
        self._add_scores(batch["scores"])
        self._add_categories(batch["categories"])
        self._add_origins(batch)
        self.teachers.update(model for model in batch["model"].to_pylist() if model is not None)

    def _add_lengths(self, batch: pa.RecordBatch) -> None:
        for subset in pc.unique(batch["subset"]).to_pylist():
            mine = batch.filter(pc.equal(batch["subset"], subset))
            count = self.subsets[subset]
            count.turns.update(mine["turns"].to_pylist())
            count.question_tokens += pc.sum(mine["question_tokens"]).as_py()
            count.answer_tokens += pc.sum(mine["answer_tokens"]).as_py()

    def _add_scores(self, scores: pa.MapArray) -> None:
        found = scores.items.filter(pc.equal(scores.keys, _LANGUAGE_SCORE)).drop_null().to_numpy(zero_copy_only=False)
        found = found[np.isfinite(found)]
        bins = np.clip((found * SCORE_BINS).astype(np.int64), 0, SCORE_BINS - 1)
        self.scores += np.bincount(bins, minlength=SCORE_BINS)

    def _add_categories(self, categories: pa.ListArray) -> None:
        for names in categories.to_pylist():
            if names:
                self.with_category += 1
                self.categories.update(set(names))

    def _add_origins(self, batch: pa.RecordBatch) -> None:
        columns = (batch[name].to_pylist() for name in ("origin", "licence", "url", "title", "revision_id"))
        for origin, licence, url, title, revision in zip(*columns, strict=True):
            kind, name, rest = origin.split(":", 2)
            if kind == "row":
                self.licences[licence, "english"] += 1
                self.english[name, licence] += 1
                self.urls.setdefault(name, url or "")
            else:
                self.licences[licence, "wikipedia"] += 1
                article = Article(int(rest), revision or 0)
                self.articles.setdefault(article, Cited(title or "", url or "", licence)).rows += 1


class _Placed(NamedTuple):
    """A night's rows that are in the release."""

    rows: NDArray[np.int64]
    validation: int


def count_language(assembly: Assembly, language: str, parquet_bytes: Mapping[str, int]) -> LanguageCensus:
    """Count a language's released rows. ``parquet_bytes``: of its configurations, by subset.

    Memory: the places of the language's rows, and its categories and articles. Raises PartMissing, PartitionChanged.
    """
    sources = [source for source in assembly.plan.sources if source.language == language]
    placed = {subset: _places(assembly.part(PLACES, language, subset)) for subset in SUBSETS}
    counting, nights = _Counting(), []
    for source in sources:
        kept = np.zeros(source.rows, dtype=bool)
        for by_date in placed.values():
            if source.date in by_date:
                kept[by_date[source.date].rows] = True
        nights.append(
            NightRows(language=language, date=source.date, made=source.rows, released=int(np.count_nonzero(kept)))
        )
        for batch in assembly.of_source(FEATURES, source).batches(_COLUMNS):
            mine = batch.filter(pa.array(kept[batch["row"].to_numpy()]))
            if mine.num_rows:
                counting.add(mine)
    rows = {subset: {date: night.rows for date, night in by_date.items()} for subset, by_date in placed.items()}
    chosen = {subset: chosen_rows(language, nights_rows) for subset, nights_rows in rows.items()}
    diversity = _diversity(assembly, sources, chosen)
    return LanguageCensus(
        configurations=[
            _configuration(language, subset, counting.subsets[subset], placed[subset], parquet_bytes, diversity[subset])
            for subset in SUBSETS
        ],
        nights=nights,
        scores=Scores(language=language, bins=tuple(int(rows) for rows in counting.scores)),
        topics=_topics(language, counting),
        articles=counting.articles,
        licences=counting.licences,
        english=counting.english,
        urls=counting.urls,
        teachers=counting.teachers,
    )


def _places(part: Part) -> dict[str, _Placed]:
    rows: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
    validation: Counter[str] = Counter()
    for batch in part.batches(["date", "row", "split"]):
        for date in pc.unique(batch["date"]).to_pylist():
            mine = batch.filter(pc.equal(batch["date"], date))
            rows[date].append(mine["row"].to_numpy())
            validation[date] += pc.sum(pc.equal(mine["split"], "validation")).as_py()
    return {date: _Placed(np.concatenate(blocks), validation[date]) for date, blocks in rows.items()}


def _configuration(
    language: str,
    subset: str,
    count: _Count,
    placed: Mapping[str, _Placed],
    parquet_bytes: Mapping[str, int],
    diversity: Diversity,
) -> Configuration:
    rows = sum(len(night.rows) for night in placed.values())
    validation = sum(night.validation for night in placed.values())
    return Configuration(
        language=language,
        subset=subset,
        lengths=count.lengths(),
        train=rows - validation,
        validation=validation,
        parquet_bytes=parquet_bytes.get(subset, 0),
        turns=dict(sorted(count.turns.items())),
        diversity=diversity,
    )


def _diversity(
    assembly: Assembly, sources: list[SourcePart], chosen: Mapping[str, Mapping[str, Chosen]]
) -> dict[str, Diversity]:
    """By subset."""
    return {
        subset: measured(
            (assembly.unchanged_samples(source), by_date[source.date], source.language)
            for source in sources
            if source.date in by_date
        )
        for subset, by_date in chosen.items()
    }


def _topics(language: str, counting: _Counting) -> Topics:
    # Equal counts are ordered by name, so that the same rows always give the same list.
    top = sorted(counting.categories.items(), key=lambda item: (-item[1], item[0]))[:TOP_CATEGORIES]
    rows = counting.with_category
    return Topics(
        language=language,
        rows=rows,
        categories=len(counting.categories),
        effective=round(effective_number(counting.categories.values()), 2),
        top=tuple(Category(name=name, rows=count, share=round(count / rows, 4)) for name, count in top),
    )


# --- the release ----------------------------------------------------------------------------------


def release_statistics(assembly: Assembly, languages: Mapping[str, LanguageCensus]) -> ReleaseStatistics:
    """The languages' figures together with what was removed, rejected and paid for. Raises PartMissing."""
    plan = assembly.plan
    configurations = [each for census in languages.values() for each in census.configurations]
    licences: Counter[tuple[str, str]] = Counter()
    english: Counter[tuple[str, str]] = Counter()
    urls: dict[str, str] = {}
    teachers: Counter[str] = Counter()
    for census in languages.values():
        licences += census.licences
        english += census.english
        urls = {**census.urls, **urls}
        teachers += census.teachers
    return ReleaseStatistics(
        version=plan.version,
        languages=plan.languages,
        missing=plan.missing,
        samples=plan.rows,
        lengths=total(each.lengths for each in configurations),
        configurations=tuple(configurations),
        removed=tuple(_removed(assembly)),
        counted=tuple(_counted(assembly)),
        rejected=tuple(_rejected(assembly)),
        without_rejects=len(plan.sources) - len(parts_there(assembly, REJECTS)),
        scores=tuple(census.scores for census in languages.values()),
        teachers=tuple(TeacherRows(model=model, rows=rows) for model, rows in _heaviest(teachers)),
        models=tuple(_models(assembly)),
        without_ledger=len(plan.sources) - len(parts_there(assembly, LEDGER)),
        nights=tuple(night for census in languages.values() for night in census.nights),
        topics=tuple(census.topics for census in languages.values()),
        licences=tuple(LicenceRows(licence=key[0], kind=key[1], rows=rows) for key, rows in _heaviest(licences)),
        english=tuple(
            EnglishSource(dataset=key[0], url=urls[key[0]], licence=key[1], rows=rows)
            for key, rows in _heaviest(english)
        ),
        attribution=tuple(
            Attribution(
                language=language,
                path=attribution_path(language),
                articles=len(census.articles),
                rows=sum(cited.rows for cited in census.articles.values()),
            )
            for language, census in languages.items()
            if census.articles
        ),
    )


def parquet_bytes(assembly: Assembly, language: str) -> dict[str, int]:
    """Bytes of a language's Parquet files by subset. Raises PartMissing."""
    return {
        subset: sum(
            cast(int, row["bytes"])
            for row in assembly.part(STAGED_FILES, language, subset).rows(["format", "bytes"])
            if row["format"] == "parquet"
        )
        for subset in SUBSETS
    }


def parts_there(assembly: Assembly, stage: Stage) -> list[tuple[SourcePart, Part]]:
    """The parts of ``stage`` that the nights have, in the plan's order."""
    parts = ((source, assembly.of_source(stage, source)) for source in assembly.plan.sources)
    return [(source, part) for source, part in parts if part.stamp() is not None]


def _heaviest(counts: Counter[_Key]) -> list[tuple[_Key, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _tallied(part: Part, columns: list[str]) -> Counter[tuple[str, ...]]:
    counts: Counter[tuple[str, ...]] = Counter()
    for batch in part.batches(columns):
        counts.update(zip(*(batch[name].to_pylist() for name in columns), strict=True))
    return counts


def _removed(assembly: Assembly) -> Iterator[RemovedRows]:
    counts = _tallied(assembly.part(REMOVED), ["language", "subset", "stage", "reason"])
    for (language, subset, stage, reason), rows in _heaviest(counts):
        yield RemovedRows(language=language, subset=subset, stage=stage, reason=reason, rows=rows)


def _counted(assembly: Assembly) -> Iterator[CountedRows]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for source in assembly.plan.sources:
        found = assembly.of_source(FINDINGS, source).rows(["row", "stage", "reason", "removes"])
        seen = {(row["row"], str(row["stage"]), str(row["reason"])) for row in found if not row["removes"]}
        counts.update((source.language, stage, reason) for _, stage, reason in seen)
    for (language, stage, reason), rows in _heaviest(counts):
        yield CountedRows(language=language, stage=stage, reason=reason, rows=rows)


def _rejected(assembly: Assembly) -> Iterator[RejectedRows]:
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for source, part in parts_there(assembly, REJECTS):
        for (subset, stage, gate, reason), rows in _tallied(part, ["subset", "stage", "gate", "reason"]).items():
            # Why an article is not fit names its templates and titles: the gate says enough.
            where = (f"article · {gate}", "") if stage == "articles" else (gate, reason)
            counts[source.language, subset, *where] += rows
    for (language, subset, gate, reason), rows in _heaviest(counts):
        yield RejectedRows(language=language, subset=subset, gate=gate, reason=reason, rows=rows)


_SUMMED = ("paid", "prompt_tokens", "cached_tokens", "completion_tokens")


def _models(assembly: Assembly) -> Iterable[ModelUse]:
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    costs: dict[str, float | None] = {}
    for _, part in parts_there(assembly, LEDGER):
        for account in part.rows(["model", *_SUMMED, "cost_usd"]):
            model, cost = str(account["model"]), cast(float | None, account["cost_usd"])
            sums[model].update({name: cast(int, account[name]) for name in _SUMMED})
            known = costs.get(model, 0.0)
            costs[model] = None if known is None or cost is None else known + cost
    for model, counts in sorted(sums.items(), key=lambda item: (-item[1]["paid"], item[0])):
        cost = costs[model]
        yield ModelUse(
            model=model,
            calls=counts["paid"],
            prompt_tokens=counts["prompt_tokens"],
            cached_tokens=counts["cached_tokens"],
            completion_tokens=counts["completion_tokens"],
            cost_usd=None if cost is None else round(cost, 6),
        )

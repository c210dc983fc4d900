"""Decontaminate: which rows of a night hold test items, private things or blocked words; kept for all releases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, cast

from ultralink.errors import PartitionChanged, PartMissing
from ultralink.release.blocklist import Blocklist, read_blocklist
from ultralink.release.contamination import ItemIndex, Text, excerpt
from ultralink.release.evaluation import checksum, read_items
from ultralink.release.plan import SourcePart
from ultralink.release.privacy import Found, Secret, private
from ultralink.release.recipe import ReleaseRecipe
from ultralink.release.words import normalised, units
from ultralink.schemas import FINDINGS, MessageRow
from ultralink.stages.assembly import Assembly
from ultralink.stages.partition import Built
from ultralink.store import Part, Row, fingerprint

_COLUMNS = ["id", "subset", "messages", "source.passage", "source.english"]


def decontaminate(assembly: Assembly, shard: int) -> Built:
    """Write FINDINGS of the shard's nights, one part each; a night that was examined before is left alone.

    Looked at is all that a release holds of a row: its messages, its passage and its English original. Memory: the
    items of all sets and one batch of rows. Raises EvaluationSetError, SourceUnreachable, RecipeError (a blocklist),
    PartMissing, PartitionChanged, SchemaMismatch.
    """
    nights = assembly.plan.shares(assembly.shards)[shard]
    recipe = assembly.plan.recipe
    measures = _as_planned(assembly)
    made_by = {night: _made_by(recipe, measures, night) for night in nights}
    due = assembly.due(nights, FINDINGS, made_by)
    paths = tuple(assembly.of_source(FINDINGS, night).path for night in nights)
    if not due:
        return Built(paths, f"Nothing to do: all {len(nights)} nights are examined")
    sets = {one.name: one for one in recipe.decontamination.sets}
    index = ItemIndex(recipe.decontamination, lambda name: read_items(sets[name]))
    counts: Counter[str] = Counter()
    for night in due:
        examiner = _Examiner(night.language, recipe, index, measures.blocklists.get(night.language))
        counts += _examine(assembly, night, examiner, made_by[night])
    rows = sum(night.rows for night in due)
    found = ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "nothing found"
    kept = len(nights) - len(due)
    return Built(paths, f"{rows} rows of {len(due)} nights examined: {found}; {kept} nights are up to date")


def examined_parts(assembly: Assembly) -> list[Part]:
    """The FINDINGS of all nights in the plan's order, made with this run's settings.

    Raises PartMissing, and as `decontaminate` does where an evaluation set or a blocklist cannot be read.
    """
    recipe = assembly.plan.recipe
    measures = _as_planned(assembly)
    parts = assembly.of_sources(FINDINGS)
    for night, part in zip(assembly.plan.sources, parts, strict=True):
        stamp = part.stamp()
        if stamp is None or stamp.fingerprint != _made_by(recipe, measures, night):
            found = "no such part" if stamp is None else "of other samples, settings or test items than now"
            raise PartMissing(f"{part.path}: {found}; run the task 'decontaminate' of this run again")
    return parts


@dataclass(frozen=True, slots=True)
class Measures:
    """What rows are measured by, besides the recipe: the evaluation sets' checksums, and the blocklists."""

    checksums: list[str]
    blocklists: dict[str, Blocklist]

    @classmethod
    def of(cls, recipe: ReleaseRecipe, languages: Sequence[str]) -> Measures:
        """As the files are now. Raises EvaluationSetError, SourceUnreachable, RecipeError (a blocklist)."""
        lists = {name: read_blocklist(name, path) for name, path in recipe.blocklists.items() if name in languages}
        return cls([checksum(evaluation) for evaluation in recipe.decontamination.sets], lists)

    @property
    def digest(self) -> str:
        """A hash of them all."""
        return fingerprint(self.checksums, {name: one.digest for name, one in self.blocklists.items()})


def _as_planned(assembly: Assembly) -> Measures:
    """Raises PartitionChanged where an evaluation set or a blocklist is no longer what it was."""
    plan = assembly.plan
    measures = Measures.of(plan.recipe, plan.languages)
    if measures.digest != plan.measures:
        raise PartitionChanged(
            "an evaluation set or a blocklist was changed since this release was planned; start a new run"
        )
    return measures


def _made_by(recipe: ReleaseRecipe, measures: Measures, night: SourcePart) -> str:
    blocklist = measures.blocklists.get(night.language)
    return fingerprint(
        FINDINGS.version,
        night.digest,
        recipe.decontamination.model_dump(mode="json"),
        measures.checksums,
        recipe.privacy.model_dump(mode="json"),
        blocklist and blocklist.digest,
    )


def _examine(assembly: Assembly, night: SourcePart, examiner: _Examiner, made_by: str) -> Counter[str]:
    """Write the night's FINDINGS; how many there are of each kind."""
    samples = assembly.unchanged_samples(night)
    counts: Counter[str] = Counter()
    first = 0
    with assembly.of_source(FINDINGS, night).writer(made_by) as findings:
        for batch in samples.batches(_COLUMNS):
            for finding in examiner.findings(first, cast(list[_Sample], batch.to_pylist())):
                findings.add(cast(Row, finding))
                counts[f"{finding['stage']} {finding['reason']}"] += 1
            first += batch.num_rows
        assembly.unchanged_samples(night)  # nor while they were read
    return counts


# --- rows -----------------------------------------------------------------------------------------


class _Embedded(TypedDict):
    passage: str | None
    english: list[MessageRow] | None


class _Sample(TypedDict):
    id: str
    subset: str
    messages: list[MessageRow]
    source: _Embedded


class Finding(TypedDict):
    """A row of FINDINGS."""

    row: int
    id: str
    subset: str
    stage: str
    reason: str
    removes: bool
    item: str | None
    detail: str | None


class _Examiner:
    """Finds what is wrong with the rows of a language."""

    def __init__(self, language: str, recipe: ReleaseRecipe, index: ItemIndex, blocklist: Blocklist | None) -> None:
        self._language = language
        self._index = index
        self._has_items = bool(recipe.decontamination.sets)
        self._blocklist = blocklist
        self._actions: Mapping[str, str] = recipe.privacy.model_dump()
        self._kinds = frozenset(kind for kind in Secret if self._actions[kind] != "off")

    def findings(self, first: int, samples: Sequence[_Sample]) -> Iterator[Finding]:
        """What is found in ``samples``, of which the first has the number ``first``; at most one per row and reason."""
        own, english = [_own(one) for one in samples], [_english(one) for one in samples]
        split = [_units(texts) for texts in own] if self._has_items or self._blocklist else []
        matches = (
            self._index.find([[*mine, *_units(other)] for mine, other in zip(split, english, strict=True)])
            if self._has_items
            else [[] for _ in samples]
        )
        for place, sample in enumerate(samples):
            number = first + place
            for match in matches[place]:
                yield _finding(number, sample, "decontaminate", match.evaluation, match.excerpt, item=match.item)
            for kind, detail in self._private(own[place], english[place]):
                yield _finding(number, sample, "privacy", kind, detail, removes=self._actions[kind] == "remove")
            if self._blocklist and (blocked := _first_blocked(self._blocklist, split[place])):
                yield _finding(number, sample, "blocklist", self._language, excerpt(blocked.split()))

    def _private(self, own: list[_Said], english: list[_Said]) -> Iterator[tuple[Secret, str]]:
        if not self._kinds:
            return
        found = [
            *private("\n\n".join(text for text, _ in own), self._language, self._kinds),
            *(private("\n\n".join(text for text, _ in english), "en", self._kinds) if english else ()),
        ]
        for kind in Secret:
            things = list(dict.fromkeys(one for one in found if one.kind is kind))
            if things:
                yield kind, _masked(things)


def _masked(things: list[Found]) -> str:
    more = f" and {len(things) - 1} more" if len(things) > 1 else ""
    return things[0].masked + more


_Said = tuple[str, bool]  # a text, and whether a user says it


def _own(sample: _Sample) -> list[_Said]:
    """What a row says in its language."""
    passage = sample["source"]["passage"]
    return [*_conversation(sample["messages"]), *([(passage, False)] if passage else [])]


def _english(sample: _Sample) -> list[_Said]:
    """The row that was translated; nothing for one that was taken as it is."""
    english = sample["source"]["english"]
    return _conversation(english) if english and english != sample["messages"] else []


def _conversation(messages: list[MessageRow]) -> list[_Said]:
    return [(message["content"], message["role"] == "user") for message in messages]


def _units(texts: list[_Said]) -> list[Text]:
    return [Text(units(normalised(text)), asked) for text, asked in texts]


def _first_blocked(blocklist: Blocklist, texts: list[Text]) -> str | None:
    return next((phrase for text in texts if (phrase := blocklist.find(text.units))), None)


def _finding(
    number: int, sample: _Sample, stage: str, reason: str, detail: str, *, item: str | None = None, removes: bool = True
) -> Finding:
    return Finding(
        row=number,
        id=sample["id"],
        subset=sample["subset"],
        stage=stage,
        reason=str(reason),
        removes=removes,
        item=item,
        detail=detail,
    )

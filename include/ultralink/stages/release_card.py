"""Card: the release in figures, pictures and words, and the articles that it is made from."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping

from ultralink.release.attribution import attribution_path, write_attribution
from ultralink.release.card import Card
from ultralink.release.pictures import Picture, draw_all
from ultralink.release.statistics import ReleaseStatistics
from ultralink.release.writing import Staging
from ultralink.schemas import FEATURES, FINDINGS, LEDGER, PLACES, REJECTS, REMOVED, STAGED_FILES
from ultralink.stages.assembly import CARD, PROVENANCE, Assembly
from ultralink.stages.partition import Built
from ultralink.stages.release_census import (
    LanguageCensus,
    count_language,
    parquet_bytes,
    parts_there,
    release_statistics,
)
from ultralink.store import Part, fingerprint

KIND = "card"  # the format of these files in STAGED_FILES
_VERSION = 2  # of what a card says and shows


def write_card(assembly: Assembly) -> Built:
    """Write README.md, LICENSE.md, statistics.json, plots/ and attribution/, and at last the list of these files.

    Memory: the places of one language's rows, its articles and its categories. Raises PartMissing before the export is
    done, PartitionChanged where a night was made anew, StoreFull.
    """
    listed = assembly.part(STAGED_FILES, CARD)
    staging = Staging(assembly.store, assembly.staging)
    inputs = _inputs(assembly)
    made_by = _made_by(assembly, inputs)
    if assembly.up_to_date(listed, made_by, inputs) and staging.has(listed):
        return Built((listed.path,), "Nothing to do: the card is up to date")
    staging.clear("plots", [])
    staging.clear("attribution", ["README.md", "LICENSE.md", "statistics.json"])
    languages = {
        language: count_language(assembly, language, parquet_bytes(assembly, language))
        for language in assembly.plan.languages
    }
    statistics = release_statistics(assembly, languages)
    _write_attribution(staging, languages)
    staging.text("statistics.json", KIND, statistics.model_dump_json(indent=1) + "\n")
    pictures = _draw(staging, statistics)
    card = Card(
        statistics=statistics,
        recipe=assembly.plan.recipe,
        formats=assembly.plan.formats,
        files=list(_exported(assembly)),
        pictures=pictures,
    )
    staging.text("LICENSE.md", KIND, card.licence())
    staging.text("README.md", KIND, card.text())
    staging.complete(listed, made_by)
    paths = tuple(assembly.staged(file["path"]) for file in staging.files)
    articles = sum(each.articles for each in statistics.attribution)
    line = f"A card of {statistics.lengths.dialogues} dialogues: {len(pictures)} pictures, {articles} articles named"
    return Built((*paths, listed.path), line)


def _inputs(assembly: Assembly) -> list[Part]:
    return [
        *(assembly.part(PLACES, *each) for each in assembly.configurations),
        *(assembly.part(STAGED_FILES, *each) for each in assembly.configurations),
        assembly.part(STAGED_FILES, PROVENANCE),
        assembly.part(REMOVED),
        *(part for stage in (FEATURES, FINDINGS) for part in assembly.of_sources(stage)),
        # A night may have lost these: the card says so.
        *(part for stage in (REJECTS, LEDGER) for _, part in parts_there(assembly, stage)),
    ]


def _made_by(assembly: Assembly, inputs: list[Part]) -> str:
    plan = assembly.plan
    digests = [part.stamp_or_missing(f"run the task that writes {part.stage.name!r} first").digest for part in inputs]
    return fingerprint(_VERSION, plan.version, plan.fingerprint, digests)


def _exported(assembly: Assembly) -> Iterator[str]:
    for each in assembly.configurations:
        yield from (str(row["path"]) for row in assembly.part(STAGED_FILES, *each).rows(["path"]))


def _write_attribution(staging: Staging, languages: Mapping[str, LanguageCensus]) -> None:
    for language, census in languages.items():
        if census.articles:
            text = io.StringIO(newline="")
            write_attribution(text, census.articles)
            staging.text(attribution_path(language), KIND, text.getvalue())


def _draw(staging: Staging, statistics: ReleaseStatistics) -> list[Picture]:
    """Draw what has data; which pictures these are."""
    drawn: dict[str, Picture] = {}
    for picture, path, content in draw_all(statistics):
        drawn[picture.name] = picture
        with staging.file(path, KIND) as sink:
            sink.write(content)
    return list(drawn.values())

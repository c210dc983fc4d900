"""Extract: read the shard's articles from the wiki, clean them, cut them into passages."""

from __future__ import annotations

from collections import Counter
from functools import cached_property

from ultralink.recipe import Recipe
from ultralink.schemas import ARTICLE_REJECTS, ARTICLES, PASSAGES, SELECTION
from ultralink.stages.night import Night
from ultralink.stages.partition import Built
from ultralink.stages.taken import Taken
from ultralink.store import Part, fingerprint
from ultralink.wikipedia.article import Candidate, Page, Passage, TurnedAway
from ultralink.wikipedia.clean import CLIP, clean
from ultralink.wikipedia.rows import article_row, passage_row, turned_away_row
from ultralink.wikipedia.segment import passages
from ultralink.wikipedia.selection import Chosen, selected
from ultralink.wikipedia.source import open_source, source_settings


def extract(night: Night, shard: int) -> Built:
    """Write the shard's ARTICLES, PASSAGES and ARTICLE_REJECTS; the passages come last and stand for all.

    Raises PartMissing (nothing was selected) and the source's errors.
    """
    selection = night.part(SELECTION)
    stamp = selection.stamp_or_missing("run select of this night first")
    recipe = night.recipe
    made_by = fingerprint(
        [stage.version for stage in (ARTICLES, PASSAGES, ARTICLE_REJECTS)],
        stamp.digest,
        (shard, night.shards),
        source_settings(recipe.wikipedia),
        recipe.wikipedia.article_url,
        recipe.wikipedia.model_dump(mode="json", exclude={"api", "dump", "articles_per_night", "seed"}),
        recipe.text.model_dump(mode="json", include={"detector_labels", "abbreviations"}),
    )
    targets = [night.part(stage, shard) for stage in (PASSAGES, ARTICLES, ARTICLE_REJECTS)]
    paths = tuple(part.path for part in targets)
    if kept := night.up_to_date(targets[0], made_by, [selection]):
        return Built(paths, f"Nothing to do: {kept.rows} passages are up to date")

    chosen = _slice(selection, shard, night.shards)
    gates: Counter[str] = Counter()
    with (
        targets[0].writer(made_by) as passage_part,
        targets[1].writer(made_by) as article_part,
        targets[2].writer(made_by) as reject_part,
        open_source(recipe, night.store) as source,
    ):
        moved_on = _MovedOn(night, chosen)
        for page in source.pages(chosen):
            cut = moved_on.taken(page) or _passages_of(page, recipe)
            if isinstance(cut, TurnedAway):
                reject_part.add(turned_away_row(cut, recipe, made_by))
                gates[cut.gate] += 1
                continue
            article_part.add(article_row(cut[0].article))
            for passage in cut:
                passage_part.add(passage_row(passage))
    return Built(
        paths,
        f"{len(chosen)} pages: {article_part.count} articles, {passage_part.count} passages, "
        f"turned away {dict(gates) or 'none'}",
        passage_part.count,
        reject_part.count,
    )


def _slice(selection: Part, shard: int, shards: int) -> list[Candidate]:
    """The shard's candidates: neighbours in the wiki, so that shards read disjoint ranges of a dump."""
    rows = selection.rows(["page_id", "title", "revision_id"])
    candidates = sorted((selected(row) for row in rows), key=lambda candidate: candidate.page_id)
    return candidates[shard * len(candidates) // shards : (shard + 1) * len(candidates) // shards]


class _MovedOn:
    """Pages that were edited between choice and reading, into a revision that another night has chosen."""

    def __init__(self, night: Night, chosen: list[Candidate]) -> None:
        self._night = night
        self._revisions = {candidate.page_id: candidate.revision_id for candidate in chosen}

    @cached_property
    def _elsewhere(self) -> set[Chosen]:
        return Taken(self._night).chosen

    def taken(self, page: Page | TurnedAway) -> TurnedAway | None:
        if isinstance(page, TurnedAway) or page.revision_id == self._revisions.get(page.page_id):
            return None
        if (page.page_id, page.revision_id) not in self._elsewhere:
            return None
        reason = f"another night has chosen revision {page.revision_id}, which this page has come to since its choice"
        return TurnedAway(page.page_id, page.revision_id, page.title, "taken", reason, page.text[:CLIP])


def _passages_of(page: Page | TurnedAway, recipe: Recipe) -> list[Passage] | TurnedAway:
    """The page's passages, at least one, or the gate that turned it away."""
    if isinstance(page, TurnedAway):
        return page
    article = clean(page, recipe.wikipedia, recipe.text)
    if isinstance(article, TurnedAway):
        return article
    return passages(article, recipe.wikipedia.passage_tokens, recipe.text)

"""Select: choose the night's articles, once, so that every later try works on the same slice."""

from __future__ import annotations

from hashlib import blake2b

from ultralink.errors import NothingNew, SchemaMismatch
from ultralink.schemas import SELECTION
from ultralink.stages.night import Built, Night
from ultralink.store import Part, Stamp, fingerprint
from ultralink.wikipedia.article import Candidate, Source
from ultralink.wikipedia.selection import choose, selected, selection_rows
from ultralink.wikipedia.source import open_source, source_settings

_DRAWN = 4  # candidates per article: a dump's index does not tell redirects, half of a wiki's titles


def select(night: Night) -> Built:
    """Write the SELECTION part of the night: at most ``night.articles`` candidates that no other night took.

    A part that was chosen from the same source with the same amount and seed stays, even in a rebuild: the
    same night is always the same slice. Raises NothingNew, SelectionEmpty, and the source's errors.
    """
    part = night.part(SELECTION)
    wikipedia = night.recipe.wikipedia
    made_by = fingerprint(SELECTION.version, night.articles, wikipedia.seed, source_settings(wikipedia))
    kept = _kept(part, night.rebuild)
    if kept is not None and kept.fingerprint == made_by:
        return Built((part.path,), f"{kept.rows} articles were already chosen for {night.date}")
    with open_source(night.recipe) as source:
        chosen = _choose(night, source)
    if not chosen:
        raise NothingNew(
            f"Earlier nights have taken every article of {wikipedia.source} for {night.language}. "
            "Widen wikipedia.api.selection, or bring a newer dump."
        )
    part.write(selection_rows(chosen), made_by)
    return Built((part.path,), f"{len(chosen)} articles chosen for {night.date}")


def _kept(part: Part, rebuild: bool) -> Stamp | None:
    """The stamp of the night's choice. A rebuild replaces one that this release cannot read."""
    try:
        return part.stamp()
    except SchemaMismatch:
        if not rebuild:
            raise
        return None


def _choose(night: Night, source: Source) -> list[Candidate]:
    """The night's articles; more are drawn until there are enough, or none is left.

    Each night has an order of its own: in a common one, redirects that were drawn and not taken would gather
    in front, and every night would have to look at all of them again.
    """
    taken = _chosen_by_other_nights(night)
    own_seed = blake2b(f"{night.recipe.wikipedia.seed} {night.date}".encode(), digest_size=8)
    amount = _DRAWN * night.articles
    while True:
        drawn = choose(source.candidates(), taken, amount, int.from_bytes(own_seed.digest(), "big"))
        chosen = source.confirmed(drawn, night.articles)
        if len(chosen) == night.articles or len(drawn) < amount:
            return chosen
        amount *= _DRAWN


def _chosen_by_other_nights(night: Night) -> set[tuple[int, int | None]]:
    taken = set()
    for date in night.store.dates(SELECTION, night.language):
        if date != night.date:
            for row in night.store.part(SELECTION, night.language, date).rows(["page_id", "title", "revision_id"]):
                candidate = selected(row)
                taken.add((candidate.page_id, candidate.revision_id))
    return taken

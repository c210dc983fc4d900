"""Select: choose the night's articles, once, so that every later try works on the same slice."""

from __future__ import annotations

from hashlib import blake2b

from ultralink.errors import NothingNew, SchemaMismatch
from ultralink.schemas import SELECTION
from ultralink.stages.night import Night
from ultralink.stages.partition import Built
from ultralink.stages.taken import Taken
from ultralink.store import Part, Stamp, fingerprint
from ultralink.wikipedia.article import Candidate, Source
from ultralink.wikipedia.selection import choose, place, selection_rows
from ultralink.wikipedia.source import open_source, source_settings

_DRAWN = 4  # candidates per article: a dump's index does not tell redirects, half of a wiki's titles


def select(night: Night) -> Built:
    """Write the SELECTION part of the night: at most ``night.articles`` candidates that no other night took.

    A part that was chosen from the same source with the same amount and seed stays, even in a rebuild: the
    same night is always the same slice. A dry run takes the slice that the night has or would get, and keeps it
    aside, so that it takes nothing from other nights. Raises NothingNew, SelectionEmpty, and the source's errors.
    """
    part = night.part(SELECTION)
    wikipedia = night.recipe.wikipedia
    made_by = fingerprint(SELECTION.version, night.articles, wikipedia.seed, source_settings(wikipedia))
    real = night.store.part(SELECTION, night.language, night.date)
    kept = _kept(real, night.rebuild)
    if kept is not None and kept.fingerprint == made_by:
        if night.dry_run:
            part.write(real.rows(), made_by)
        return Built((part.path,), f"{kept.rows} articles were already chosen for {night.date}")
    with open_source(night.recipe, night.store) as source:
        chosen = _choose(night, source)
    if not chosen:
        raise NothingNew(
            f"Earlier nights have taken every article of {wikipedia.source} for {night.language}. "
            "Widen wikipedia.api.selection, or bring a newer dump."
        )
    part.write(selection_rows(chosen), made_by)
    return Built((part.path,), f"{len(chosen)} articles chosen for {night.date}", len(chosen))


def _kept(part: Part, rebuild: bool) -> Stamp | None:
    """The stamp of the night's choice. A rebuild replaces one that this release cannot read."""
    try:
        return part.stamp()
    except SchemaMismatch:
        if not rebuild:
            raise
        return None


def _choose(night: Night, source: Source) -> list[Candidate]:
    """The night's articles: pages that no night has, or that were edited since.

    Each night has an order of its own: in a common one, redirects that were drawn and not taken would gather
    in front, and every night would have to look at all of them again.
    """
    taken = Taken(night)
    own_seed = blake2b(f"{night.recipe.wikipedia.seed} {night.date}".encode(), digest_size=8)
    seed = int.from_bytes(own_seed.digest(), "big")
    chosen = _new(source, taken, night.articles, seed)
    if len(chosen) < night.articles and not source.tells_revisions:
        chosen += _edited(source, taken, night.articles - len(chosen), seed)
    return chosen


def _new(source: Source, taken: Taken, articles: int, seed: int) -> list[Candidate]:
    """At most ``articles`` that no other night holds; more are drawn until there are enough, or none is left."""
    amount, excluded = _DRAWN * articles, set(taken.chosen)
    while True:
        drawn = choose(source.candidates(), excluded, amount, seed)
        confirmed = source.confirmed(drawn, articles)
        if repeated := taken.repeated(confirmed):
            excluded |= repeated
        elif len(confirmed) == articles or len(drawn) < amount:
            return confirmed
        else:
            amount *= _DRAWN


def _edited(source: Source, taken: Taken, articles: int, seed: int) -> list[Candidate]:
    """Pages that another night holds at an older revision, which only reading them shows."""
    pages = {each.page_id: each for each in source.candidates() if each.page_id in taken}
    shuffled = sorted(pages.values(), key=lambda each: place(seed, each.page_id))
    confirmed = source.confirmed(shuffled, len(shuffled)) if shuffled else []
    repeated = taken.repeated(confirmed)
    return [each for each in confirmed if (each.page_id, each.revision_id) not in repeated][:articles]

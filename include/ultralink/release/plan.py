"""The plan of a release: its version, and the partitions that it is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ultralink.release.recipe import Format, ReleaseRecipe
from ultralink.store import fingerprint

# Fields that change no row, or are planned for themselves.
_WITHOUT_EFFECT = {"owner", "start_date", "languages", "shards", "formats", "hub_conn_id", "alarms"}


class SourcePart(BaseModel):
    """The samples of one night of one language."""

    model_config = ConfigDict(frozen=True)

    language: str
    date: str
    path: str
    rows: int
    digest: str


class Plan(BaseModel):
    """What a release is made of; made once per run, so that nights that are published meanwhile do not mix in.

    ``sources`` are in the order that decides which of two equal rows stays: by date, then by language as listed.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    run_id: str
    languages: tuple[str, ...]
    since: str | None
    until: str | None
    formats: tuple[Format, ...]
    missing: dict[str, tuple[str, ...]]  # language -> subsets that it should have but has not
    sources: tuple[SourcePart, ...]
    recipe: ReleaseRecipe
    measures: str  # a hash of the evaluation sets and blocklists as they were

    @property
    def rows(self) -> int:
        """Samples of all sources."""
        return sum(source.rows for source in self.sources)

    @property
    def fingerprint(self) -> str:
        """Of what the release is made of; not of its version and run, nor of what settings leave as it is."""
        made_from = self.model_dump(mode="json", include={"languages", "formats", "missing", "measures"})
        return fingerprint(
            made_from,
            self.recipe.model_dump(mode="json", exclude=_WITHOUT_EFFECT),
            [[source.language, source.date, source.digest] for source in self.sources],
        )

    def shares(self, shards: int) -> list[list[SourcePart]]:
        """The sources dealt out to ``shards`` tasks, the largest first to whoever has least."""
        shares: list[list[SourcePart]] = [[] for _ in range(shards)]
        for source in sorted(self.sources, key=lambda one: (-one.rows, one.language, one.date)):
            min(shares, key=lambda share: sum(one.rows for one in share)).append(source)
        return shares

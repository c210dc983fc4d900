"""Read: the English rows of one source of the pool, each whole and of use, or a reject with its reason."""

from __future__ import annotations

from collections import Counter

from ultralink.pool.cleaning import unclean
from ultralink.pool.files import Malformed, checksum
from ultralink.pool.formats import read
from ultralink.pool.recipe import Source
from ultralink.pool.rows import LANGUAGE, Row, reject, stored
from ultralink.schemas import ENGLISH_REJECTS, ENGLISH_ROWS
from ultralink.stages.edition import Edition
from ultralink.stages.partition import Built
from ultralink.store import fingerprint


def read_source(edition: Edition, number: int) -> Built:
    """Write ENGLISH_ROWS and ENGLISH_REJECTS of the recipe's source ``number``; the rows come last.

    Raises SourceError: no such file, an unknown format, a damaged file, or too many malformed rows.
    """
    recipe = edition.recipe
    source = recipe.sources[number]
    made_by = fingerprint(
        ENGLISH_ROWS.version,
        ENGLISH_REJECTS.version,
        source.model_dump(mode="json"),
        checksum(source),
        recipe.cleaning.model_dump(mode="json"),
        recipe.malformed.model_dump(mode="json"),
    )
    kept, rejected = edition.part(ENGLISH_ROWS, number), edition.part(ENGLISH_REJECTS, number)
    if done := edition.up_to_date(kept, made_by, []):
        return Built((kept.path,), f"Nothing to do: {done.rows} rows of {source.name} are up to date")
    reasons: Counter[str] = Counter()
    with kept.writer(made_by) as rows, rejected.writer(made_by) as rejects:
        for row in read(source, recipe.malformed):
            if isinstance(row, Malformed):
                rejects.add(_malformed_row(row, source, made_by))
                reasons["malformed"] += 1
            elif reason := unclean(row, recipe.cleaning):
                rejects.add(reject(row, "english_rows", "cleaning", reason.value, made_by))
                reasons[reason.value] += 1
            else:
                rows.add(stored(row))
    line = f"{source.name}: {rows.count} rows, turned away {dict(reasons) or 'none'}"
    return Built((kept.path, rejected.path), line, rows.count, rejects.count)


def _malformed_row(row: Malformed, source: Source, made_by: str) -> Row:
    return {
        "id": f"{source.name}-row{row.row}",
        "language": LANGUAGE,
        "subset": source.kind.subset,
        "stage": "english_rows",
        "gate": "malformed",
        "reason": f"{row.field}: {row.reason}" if row.field else row.reason,
        "attempts": 1,
        "messages": [{"role": "source", "content": row.excerpt}],
        "source": {
            "kind": "english",
            "url": source.url,
            "licence": source.licence,
            "dataset": source.name,
            "row": row.row,
        },
        "created": None,
        "fingerprint": made_by,
    }

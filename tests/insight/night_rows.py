"""Rows of SAMPLES and REJECTS for the tests of what the page reads, and nights that hold them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from ultralink.schemas import REJECTS, SAMPLES, Stage
from ultralink.store import Store

WHEN = datetime(2026, 11, 23, 2, tzinfo=UTC)
DATES = ("2026-11-01", "2026-11-02", "2026-11-03")
PASSAGE = (
    "The canal links the Garonne at Toulouse to the sea near Sète. It was opened in 1681, some months after the "
    "death of its builder. Plane trees hold the banks together with their roots."
)
TALK = (
    ("user", "When was the canal opened?"),
    ("assistant", "It was opened in 1681, some months after the death of Riquet."),
    ("user", "What holds the banks?"),
    ("assistant", "The trees do."),
)
Row = dict[str, object]


def messages(*said: tuple[str, str]) -> list[Row]:
    return [{"role": role, "content": content} for role, content in said]


def dialogue(number: int, **changes: object) -> Row:
    """A sample of chat_specific."""
    return {
        "id": f"fr-chat_specific-{number}-1-0",
        "language": "fr",
        "subset": "chat_specific",
        "messages": messages(*TALK),
        "source": article(number),
        "teacher": {
            "model": "a-model", "requested_model": "a-model", "prompts": "p", "temperature": 0.7, "top_p": 1.0,
            "asks": 3, "prompt_tokens": 1000, "cached_tokens": 10, "completion_tokens": 200, "cost_usd": 0.01,
        },
        "scores": [("grounded", 0.5), ("language", 0.9)],
        "created": WHEN,
        "fingerprint": "f",
        **changes,
    }  # fmt: skip


def article(number: int, **changes: object) -> Row:
    return {
        "kind": "wikipedia",
        "url": f"https://fr.wikipedia.org/wiki/Canal_{number}",
        "licence": "CC BY-SA 4.0",
        "page_id": number,
        "revision_id": 7,
        "title": f"Canal {number}",
        "fetched": WHEN,
        "categories": ["Canals"],
        "passage_id": f"{number}-7-0",
        "passage_start": 0,
        "passage_end": len(PASSAGE),
        "passage": PASSAGE,
        **changes,
    }


def evidence(*quotes: str | None) -> list[Row]:
    """What a judge said of the answers in order: a quotation that grounds it, or None where it found nothing."""
    return [
        {"answer": number, "grounded": quote is not None, "quote": quote or ""}
        for number, quote in enumerate(quotes, 1)
    ]


def translation(number: int, english: str, translated: str, **changes: object) -> Row:
    """A sample of code, one exchange."""
    source = {
        "kind": "english", "url": "https://data.example/code.jsonl", "licence": "MIT", "dataset": "magicoder",
        "row_id": f"magicoder-{number}", "row": number, "type": "python",
        "english": messages(("user", "Explain."), ("assistant", english)),
    }  # fmt: skip
    return dialogue(
        number,
        id=f"fr-code-{number}",
        subset="code",
        source=source,
        messages=messages(("user", "Explique."), ("assistant", translated)),
        scores=[("language", 0.8), ("length_ratio", 1.0 + number / 1000)],
        **changes,
    )


def reject(number: int, gate: str = "leak", **changes: object) -> Row:
    """A dialogue that a gate turned away."""
    row = dialogue(number)
    for name in ("teacher", "scores"):
        del row[name]
    return {**row, "stage": "dialogues", "gate": gate, "reason": "names_the_text", "attempts": 2, **changes}


def publish(place: Path | Store, date: str, samples: Iterable[Row] = (), rejects: Iterable[Row] = ()) -> Store:
    """A published night of French."""
    store = place if isinstance(place, Store) else Store.at(str(place))
    parts: Mapping[str, tuple[Stage, Iterable[Row]]] = {"s": (SAMPLES, samples), "r": (REJECTS, rejects)}
    for stage, rows in parts.values():
        store.part(stage, "fr", date).write(rows, "made by a test")
    return store

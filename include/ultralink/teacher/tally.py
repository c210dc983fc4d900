"""Live counters of one task attempt, for its log lines and its ledger."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields

from ultralink.teacher.record import Record


@dataclass(slots=True)
class Counts:
    """What one step asked of one model. ``cost_usd`` counts only calls made now, at known prices."""

    asks: int = 0
    replayed: int = 0
    paid: int = 0
    reasked: int = 0
    tries: int = 0
    limited: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0

    def pay(self, record: Record, cost_usd: float | None) -> None:
        """Count an answer that was paid for; None: its price is not known."""
        usage = record.usage
        self.paid += 1
        self.tries += record.tries
        self.limited += record.limited
        self.prompt_tokens += usage.prompt
        self.cached_tokens += usage.cached
        self.completion_tokens += usage.completion
        if cost_usd is None:
            self.unpriced += 1
        else:
            self.cost_usd += cost_usd * (1 + record.lost)

    def add(self, other: Counts) -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class Tally:
    """Counts by (step, model)."""

    def __init__(self) -> None:
        self.steps: defaultdict[tuple[str, str], Counts] = defaultdict(Counts)
        self.by_batch = Counts()  # paid by this task's batches; in this attempt they are replayed

    def asked(self, step: str, model: str) -> None:
        """An ask came in."""
        self.steps[step, model].asks += 1

    def reasked(self, step: str, model: str) -> None:
        """An answer did not fit its schema, and was asked for again."""
        self.steps[step, model].reasked += 1

    def replayed(self, step: str, model: str) -> None:
        """It was in the journal, or was under way already."""
        self.steps[step, model].replayed += 1

    def paid(self, step: str, record: Record, cost_usd: float | None) -> None:
        """It was answered anew (or in a rehearsal: would be)."""
        self.steps[step, record.model].pay(record, cost_usd)

    def line(self) -> str:
        """What was paid for and what was not, for the task's last line."""
        total, batch = self.total, self.by_batch
        parts = [f"{total.paid} calls paid", f"{total.replayed} replayed", _bill(total)]
        if batch.paid:
            first = f"{batch.paid} calls paid by batch, at its price: {_bill(batch)}"
            parts = [first, f"{total.replayed} answers read"] + (parts[::2] if total.paid else [])
        return ", ".join(parts)

    @property
    def total(self) -> Counts:
        """The sum over steps and models."""
        total = Counts()
        for counts in self.steps.values():
            total.add(counts)
        return total


def _bill(counts: Counts) -> str:
    unpriced = f" and {counts.unpriced} calls of unknown price" if counts.unpriced else ""
    tokens = f"{counts.prompt_tokens} + {counts.completion_tokens} tokens ({counts.cached_tokens} cached)"
    return f"{tokens}, ${counts.cost_usd:.4f}{unpriced}"

"""Faults of the wire, for tests: off unless asked for, and drawn from (seed, request, attempt)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What goes wrong with one call."""

    NONE = "none"
    LIMITED = "429"
    BROKEN = "500"
    TRUNCATED = "truncated"
    HANGING = "hang"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities per call, 0 to 1, and the mean latency in seconds (plus or minus half)."""

    seed: int = 0
    latency: float = 0.0
    p429: float = 0.0
    p500: float = 0.0
    p_truncated: float = 0.0
    p_hang: float = 0.0
    p_malformed: float = 0.0

    def draw(self, request: str, attempt: int) -> tuple[Fault, float]:
        """The fault and the latency of the ``attempt``-th call of this request."""
        chance = random.Random(f"{self.seed} {request} {attempt}")
        latency = self.latency * chance.uniform(0.5, 1.5)
        shares = {
            Fault.LIMITED: self.p429,
            Fault.BROKEN: self.p500,
            Fault.TRUNCATED: self.p_truncated,
            Fault.HANGING: self.p_hang,
            Fault.MALFORMED: self.p_malformed,
        }
        point = chance.random()
        for fault, share in shares.items():
            if point < share:
                return fault, latency
            point -= share
        return Fault.NONE, latency

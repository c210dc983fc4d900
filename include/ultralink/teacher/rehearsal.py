"""A dry run's source: every ask counted and priced, nobody called, nothing written."""

from __future__ import annotations

from collections.abc import Callable

from ultralink.teacher.budget import estimate_prompt_tokens
from ultralink.teacher.prefixes import Prefixes, prompt_tokens
from ultralink.teacher.record import Record, Usage
from ultralink.teacher.request import Request

WORD = " answer"  # one token of cl100k_base


class Rehearsal:
    """Answers each ask by a stand-in as long as ``expected_tokens`` assumes.

    It is that long, so that later prompts which quote it are counted at their likely length. Prefixes of prompts are
    taken for cached where a provider would take them so.
    """

    rehearses = True
    in_flight = 0

    def __init__(self, expected_tokens: Callable[[Request], int], *, batch: bool = False) -> None:
        self._expected_tokens, self._batch = expected_tokens, batch
        self._prefixes = Prefixes()

    async def answer(self, request: Request, step: str) -> Record:
        """A record that is never journaled."""
        prompt = estimate_prompt_tokens(request)
        cached = min(prompt, self._prefixes.cached(prompt_tokens(request.messages)))
        tokens = max(1, min(self._expected_tokens(request), request.sampling.max_tokens))
        return Record(
            key=request.key,
            text=WORD.lstrip() + WORD * (tokens - 1),
            finish_reason="stop",
            model=request.model,
            served=request.model,
            usage=Usage(prompt, cached, tokens),
            latency_s=0.0,
            created="1970-01-01T00:00:00.000000+00:00",
            run="",
            shard=0,
            step=step,
            batch=self._batch,
        )

    def stop(self) -> None:
        """Nothing is under way."""

"""Prompt prefixes that were seen before: what a provider's cache would serve at a discount.

As OpenAI describes its prompt caching: from 1,024 tokens on, in steps of 128, exact prefixes only.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

from ultralink.teacher.request import Message
from ultralink.tokens import token_ids

MESSAGE_TOKENS = 4  # what OpenAI counts per message beside its content
LEAST = 1024
STEP = 128
MOST_KEPT = 200_000  # prefixes, the oldest go first: about 30 MB


class Prefixes:
    """The prefixes of all prompts so far."""

    def __init__(self) -> None:
        self._seen: dict[bytes, None] = {}

    def cached(self, prompt: Sequence[int]) -> int:
        """How many tokens of ``prompt`` were the beginning of an earlier one; ``prompt`` is remembered."""
        known = 0
        read = hashlib.blake2b(digest_size=16)
        start = 0
        for end in range(LEAST, len(prompt) + 1, STEP):
            read.update(array("l", prompt[start:end]).tobytes())
            prefix, start = read.digest(), end
            if prefix in self._seen:
                known = end
                del self._seen[prefix]  # and again at the end: it is in use
            self._seen[prefix] = None
        while len(self._seen) > MOST_KEPT:
            del self._seen[next(iter(self._seen))]
        return known


def prompt_tokens(messages: Sequence[Message]) -> list[int]:
    """The tokens of ``messages``, with MESSAGE_TOKENS that stand for each one's role."""
    roles = {"system": -1, "user": -2, "assistant": -3}
    return [
        token
        for message in messages
        for token in (*[roles[message.role]] * MESSAGE_TOKENS, *token_ids(message.content))
    ]

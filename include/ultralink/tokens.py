"""Token counts: cl100k_base, the encoding of the paper's teacher (gpt-3.5), bundled by rs-bpe."""

from functools import cache

from rs_bpe.bpe import openai as bpe


@cache
def _encoding() -> bpe.Tokenizer:
    return bpe.cl100k_base()


def count_tokens(text: str) -> int:
    """Number of cl100k_base tokens in ``text``; needs no network and no cache folder."""
    return int(_encoding().count(text))


def token_ids(text: str) -> list[int]:
    """The cl100k_base tokens of ``text``."""
    return list(_encoding().encode(text))

"""The published dataset's own figures, as the paper and its data's pages give them, to set a release beside.

Wang et al., "UltraLink: An Open-Source Knowledge-Enhanced Multilingual Supervised Fine-tuning Dataset",
arXiv 2402.04588 (7 February 2024), ACL 2024. Where the paper has no figure, there is none here.
"""

from __future__ import annotations

from typing import NamedTuple

TITLE = "UltraLink: An Open-Source Knowledge-Enhanced Multilingual Supervised Fine-tuning Dataset"
URL = "https://arxiv.org/abs/2402.04588"
RELEASED = "2024-02-07"  # first upload of R0k1e/UltraLink; the English chats were replaced on 6 November 2024

# Table 1: dialogues in thousands, by language and subset.
TABLE_1 = {
    "en": {"chat_specific": 10, "chat_agnostic": 67, "math": 395, "code": 186},
    "zh": {"chat_specific": 36, "chat_agnostic": 11, "math": 32, "code": 16},
    "ru": {"chat_specific": 37, "chat_agnostic": 11, "math": 32, "code": 16},
    "fr": {"chat_specific": 30, "chat_agnostic": 11, "math": 32, "code": 16},
    "es": {"chat_specific": 34, "chat_agnostic": 11, "math": 32, "code": 16},
}

# Its last row. The chats sum up to one more than the rounded cells do.
TOTALS = {"chat_specific": 147, "chat_agnostic": 112, "math": 523, "code": 250}


class PublishedSet(NamedTuple):
    """A row of Table 2. Dialogues and turns in thousands; means in tokens of gpt-3.5's encoding."""

    name: str
    dialogues: int
    turns: int
    question_tokens: float  # without the grounding document
    answer_tokens: float
    turn_tokens: float


# Table 2: multilingual fine-tuning data sets; the last row is the paper's own.
TABLE_2 = (
    PublishedSet("Okapi", 207, 207, 28.64, 95.72, 124.36),
    PublishedSet("Guanaco", 1173, 1173, 77.58, 83.31, 160.89),
    PublishedSet("Multialpaca", 132, 132, 39.86, 83.71, 123.57),
    PublishedSet("Phoenix SFT", 464, 893, 165.27, 200.07, 365.34),
    PublishedSet("UltraLink", 1032, 1623, 87.86, 290.35, 378.21),
)
ULTRALINK = TABLE_2[-1]


class MeanTokens(NamedTuple):
    """Mean tokens of a question and of an answer."""

    question: float
    answer: float


# The figure of token lengths; it does not show English, nor say which subsets are counted.
LENGTHS = {
    "zh": MeanTokens(55.2, 553.8),
    "ru": MeanTokens(47.5, 332.1),
    "fr": MeanTokens(58.4, 453.8),
    "es": MeanTokens(61.4, 325.1),
}

CITATION = """@inproceedings{wang2024ultralink,
  title     = {UltraLink: An Open-Source Knowledge-Enhanced Multilingual Supervised Fine-tuning Dataset},
  author    = {Wang, Haoyu and others},
  booktitle = {Proceedings of the 62nd Annual Meeting of the Association for Computational Linguistics},
  pages     = {11929--11942},
  year      = {2024},
  url       = {https://arxiv.org/abs/2402.04588}
}"""


def dialogues(language: str, subset: str) -> int | None:
    """Dialogues of Table 1 (it rounds to thousands); None where the paper has no such cell."""
    thousands = TABLE_1.get(language, {}).get(subset)
    return None if thousands is None else 1000 * thousands

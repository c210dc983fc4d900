"""Cleaning: each reason, and what comes near to it without being one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.pool.sources import row

from ultralink.pool.cleaning import Unclean, unclean
from ultralink.pool.recipe import Cleaning
from ultralink.pool.row import Kind
from ultralink.recipe import TokenBounds
from ultralink.teacher.request import Message

SHORT = TokenBounds(min=1, max=10_000)
RULES = Cleaning(chat_tokens=SHORT, math_tokens=SHORT, code_tokens=SHORT)


def reason(*texts: str, kind: Kind = Kind.CHAT) -> Unclean | None:
    return unclean(row(*texts, kind=kind), RULES)


def test_a_clean_chat() -> None:
    assert reason("How do I boil an egg?", "Put it in boiling water.", "How long?", "Eight minutes.") is None


@pytest.mark.parametrize("nothing", ["", "  \n", "\u200b", "\x00"])
def test_an_empty_message(nothing: str) -> None:
    assert reason("How?", nothing) is Unclean.EMPTY
    assert reason(nothing, "So.") is Unclean.EMPTY
    assert unclean(replace(row("a", "b"), messages=()), RULES) is Unclean.EMPTY


@pytest.mark.parametrize(
    "roles", [["assistant", "user"], ["user", "user"], ["user", "assistant", "assistant"], ["user", "system"]]
)
def test_roles_that_do_not_alternate(roles: list[str]) -> None:
    messages = tuple(Message(role, "Some text.") for role in roles)  # type: ignore[arg-type]
    assert unclean(replace(row("a", "b"), messages=messages), RULES) is Unclean.ROLES


@pytest.mark.parametrize(
    "answer",
    [
        "Here it is:\n```python\nprint(1)\n",
        "````\n```\ntext\n```\n",
        "First we find\n\\begin{align}\nx &= 1",
        "Bring the water to the boil, then add the salt,",
        "The list is [1, 2, [",
        "That is why you should always keep the",
        "The water takes the heat away from the stones and carries it down into the valley where the stones",
    ],
)
def test_an_answer_that_breaks_off(answer: str) -> None:
    assert reason("How?", answer) is Unclean.UNFINISHED


@pytest.mark.parametrize(
    "answer",
    [
        "Paris",
        "Use this:\n```python\nprint(1)\n```",
        "~~~\n```\n~~~",
        "The answer is: 42",
        "#### 1/2",
        "It is $x^2$",
        "You need:\n- flour\n- some sugar\n- a spoon of baking powder that is not older than a year and dry",
        "Best wishes,\nAnna",
        "We get\n\\begin{align}x &= 1\\end{align}",
        "def add(a, b):\n    return a + b",
        "    return sorted(set(values))\n",
        "Ja, das ist gut so！",
    ],
)
def test_an_answer_that_is_whole(answer: str) -> None:
    assert reason("How?", answer) is None


def test_a_question_without_answer() -> None:
    assert reason("How?", "So.", "Why?") is Unclean.UNFINISHED


def test_turns() -> None:
    assert reason(*["Text here."] * 12) is None
    assert reason(*["Text here."] * 14) is Unclean.TURNS
    assert reason(*["Text here."] * 4, kind=Kind.MATH) is Unclean.TURNS


@pytest.mark.parametrize(
    "text",
    [
        "See http://a.org now.",
        "HTTPS://A.ORG",
        "Go to www.example.net.",
        "Ask at example.com.",
        "plt.plot(x1, b)",
        "y1?",
    ],
)
def test_links_and_coordinates_in_a_chat(text: str) -> None:
    assert reason("Where?", text) is Unclean.URL
    assert reason(text, "So it is.") is Unclean.URL
    assert reason("Where?", text, kind=Kind.CODE) is None


@pytest.mark.parametrize("text", ["We sat there.Come in.", "x 1 and y 2.", "The ratio is 1:2.", "Use https then."])
def test_no_links(text: str) -> None:
    assert reason("Where?", text) is None


def test_a_recipe_without_patterns() -> None:
    assert unclean(row("Where?", "At http://a.org."), Cleaning(chat_tokens=SHORT, drop_chats=[])) is None


@pytest.mark.parametrize("kind", list(Kind))
def test_lengths_of_each_kind(kind: Kind) -> None:
    bounds = TokenBounds(min=10, max=20)
    rules = Cleaning(**({f"{kind}_tokens": bounds}))
    assert unclean(row("a b", "c d.", kind=kind), rules) is Unclean.TOO_SHORT
    assert unclean(row("one two three four five", "one two three four five.", kind=kind), rules) is None
    assert unclean(row("one " * 10, "two " * 11, kind=kind), rules) is Unclean.TOO_LONG

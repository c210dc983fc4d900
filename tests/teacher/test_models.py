"""Model cards: found by name or by the longest name that a snapshot extends; the user's own file wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultralink.errors import RecipeError
from ultralink.teacher.models import load_models


@pytest.mark.parametrize(
    ("model", "prompt_price"),
    [
        ("gpt-4o", 2.5),
        ("gpt-4o-2024-08-06", 2.5),
        ("gpt-4o-2024-05-13", 5.0),
        ("gpt-4o-mini", 0.15),
        ("gpt-4o-mini-2024-07-18", 0.15),
        ("gpt-4.1-nano-2025-04-14", 0.1),
        ("gpt-3.5-turbo-0125", 0.5),
        ("offline-teacher", 0),
    ],
)
def test_the_bundled_figures(model: str, prompt_price: float) -> None:
    prices = load_models().prices(model)
    assert prices is not None
    assert prices.prompt == prompt_price


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4omni", "gpt-5", "", "my-gpt-4o"])
def test_a_name_that_only_looks_alike_is_unknown(model: str) -> None:
    assert load_models().find(model) is None


def test_cached_tokens_are_part_of_the_prompt() -> None:
    prices = load_models().prices("gpt-4o")
    assert prices is not None
    assert prices.cost(1_000_000, 400_000, 100_000) == pytest.approx(0.6 * 2.5 + 0.4 * 1.25 + 0.1 * 10)


def test_the_users_file_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "models:\n"
        "  gpt-4o: {context_tokens: 1000, usd_per_million_tokens: {prompt: 7, cached: 7, completion: 7}}\n"
        "  mine: {context_tokens: 2000, usd_per_million_tokens: {prompt: 0, cached: 0, completion: 0}}\n"
    )
    monkeypatch.setenv("ULTRALINK_MODELS", str(own))
    cards = load_models()
    assert cards.find("gpt-4o-2024-08-06").context_tokens == 1000  # type: ignore[union-attr]
    assert cards.find("mine").context_tokens == 2000  # type: ignore[union-attr]
    assert cards.find("gpt-4o-mini").context_tokens == 128000  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (
            "models: {x: {context_tokens: 0, usd_per_million_tokens: {prompt: 1, cached: 1, completion: 1}}}",
            "context_tokens",
        ),
        (
            "models: {x: {context_tokens: 9, usd_per_million_tokens: {prompt: -1, cached: 1}}}",
            "prompt",
        ),
        ("models: {x: {context_tokens: 9, usd_per_million_tokens: {prompt: 1, completion: 1}}}", "cached"),
        ("models: {x: {context_tokens: 9, price: 1}}", "price"),
        ("other: 1", "other"),
    ],
)
def test_a_mistake_names_file_and_field(text: str, field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(text)
    monkeypatch.setenv("ULTRALINK_MODELS", str(own))
    with pytest.raises(RecipeError, match=field) as caught:
        load_models()
    assert str(own) in str(caught.value)

"""Casting: which model writes in a night, and which one judges and how."""

from __future__ import annotations

from dataclasses import dataclass

from ultralink.recipe import Recipe
from ultralink.stages.night import Night
from ultralink.teacher.ask import Style
from ultralink.teacher.endpoint import Endpoint
from ultralink.teacher.request import Sampling


@dataclass(frozen=True)
class Casting:
    """The writer's model and the judge's style."""

    writer: str
    judge: Style


def casting(night: Night, endpoint: Endpoint) -> Casting:
    """The night's casting at ``endpoint``.

    A writer that is not the recipe's also judges.
    """
    recipe = night.recipe
    writer = endpoint.model(night.model, usual=recipe.teacher.model)
    judge = recipe.judge.model if writer == recipe.teacher.model else None
    return Casting(writer, judge_style(recipe, judge or writer))


def judge_style(recipe: Recipe, model: str) -> Style:
    """How ``model`` answers as the judge."""
    return Style(model, Sampling(temperature=0, max_tokens=recipe.judge.max_tokens))

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

    The connection's model wins over the recipe's, but not over another one that the run was started with. A
    writer that is not the recipe's also judges.
    """
    recipe, writer = night.recipe, night.model
    if endpoint.limits.model and writer == recipe.teacher.model:
        writer = endpoint.limits.model
    judge = recipe.judge.model if writer == recipe.teacher.model else None
    return Casting(writer, judge_style(recipe, judge or writer))


def judge_style(recipe: Recipe, model: str) -> Style:
    """How ``model`` answers as the judge."""
    return Style(model, Sampling(temperature=0, max_tokens=recipe.judge.max_tokens))

"""Which part of the offline teacher answers a request, and in which form."""

from __future__ import annotations

from pydantic import BaseModel

from ultralink.dialogue.judge import Verdicts
from ultralink.offline_teacher import mischief, screening, translating
from ultralink.offline_teacher.mischief import Said
from ultralink.offline_teacher.misdeeds import Misdeeds
from ultralink.offline_teacher.reading import AnyTask, ScreenTask, TranslationTask
from ultralink.pool.screen import Verdict
from ultralink.prompts import Step, TranslationStep
from ultralink.translation.back import Faithfulness
from ultralink.translation.texts import English, Texts


def say(task: AnyTask, misdeeds: Misdeeds) -> Said:
    """The answer to ``task``."""
    match task:
        case ScreenTask():
            return Said(screening.verdict(task.messages).model_dump_json())
        case TranslationTask():
            return Said(translating.translate(task, misdeeds).model_dump_json())
        case _:
            return mischief.say(task)


def schema_of(task: AnyTask) -> type[BaseModel] | None:
    """What the answer to ``task`` holds; None: free text."""
    match task.step:
        case Step.JUDGE:
            return Verdicts
        case TranslationStep.BACK:
            return English
        case TranslationStep.JUDGE:
            return Faithfulness
        case TranslationStep():
            return Texts
        case Step():
            return None
        case _:
            return Verdict

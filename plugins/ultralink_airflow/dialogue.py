"""The operators of the dialogues: one measures the judge, one has dialogues written, many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ultralink_airflow.base import StageOperator
from ultralink_airflow.teacher import TeacherOperator, teacher_endpoint

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ultralink.stages.night import Night
    from ultralink.stages.partition import Built
    from ultralink.teacher.endpoint import Endpoint


class NightTeacherOperator(TeacherOperator["Night"], StageOperator):
    """Ask the teacher of a language's recipe."""

    def conn_id(self, partition: Night) -> str:
        return partition.recipe.teacher.conn_id

    def endpoint(self, partition: Night) -> Endpoint:
        settings = partition.recipe.teacher
        return teacher_endpoint(settings.conn_id, settings.timeout_s)


class CalibrateJudgeOperator(NightTeacherOperator):
    """Measure the judge with the language's labelled items, once per change of items, prompt or model."""

    def work(self, partition: Night, endpoint: Endpoint) -> Coroutine[None, None, Built]:
        from ultralink.stages.calibrate import calibrate

        return calibrate(partition, endpoint)


class GenerateDialoguesOperator(NightTeacherOperator):
    """Write one dialogue per passage of the shard."""

    def work(self, partition: Night, endpoint: Endpoint) -> Coroutine[None, None, Built]:
        from ultralink.stages.generate import generate

        return generate(partition, self.shard, endpoint)

"""Operators of the English rows in a language's night: choose them from the pool, translate or take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ultralink_airflow.base import StageOperator
from ultralink_airflow.dialogue import NightTeacherOperator

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ultralink.pool.row import Kind
    from ultralink.stages.night import Night
    from ultralink.stages.partition import Built
    from ultralink.teacher.endpoint import Endpoint


class ChooseRowsOperator(StageOperator):
    """Choose this night's English rows from the newest complete pool; a re-run finds the same rows."""

    def build(self, partition: Night) -> Built:
        from ultralink.stages.choose import choose_rows

        return choose_rows(partition)


class KindOperator(StageOperator):
    """Work on the shard's English rows of one kind.

    :param kind: chat, math or code
    """

    def __init__(self, *, kind: Kind, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind

    def shards(self, partition: Night) -> int:
        return partition.translated_shards


class TranslateRowsOperator(KindOperator, NightTeacherOperator):
    """Translate the shard's English rows of one kind, each verified."""

    def work(self, partition: Night, endpoint: Endpoint) -> Coroutine[None, None, Built]:
        from ultralink.stages.translate import translate_rows

        return translate_rows(partition, self.kind, self.shard, endpoint)


class TakeRowsOperator(KindOperator):
    """Take the shard's English rows of one kind as they are, for English itself."""

    def build(self, partition: Night) -> Built:
        from ultralink.stages.translate import take_rows

        return take_rows(partition, self.kind, self.shard)

"""Operators that choose articles and cut them into passages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ultralink_airflow.base import StageOperator

if TYPE_CHECKING:
    from ultralink.stages.night import Night
    from ultralink.stages.partition import Built


class SelectArticlesOperator(StageOperator):
    """Choose this night's articles and persist the choice; a re-run finds the same slice."""

    def build(self, partition: Night) -> Built:
        from ultralink.stages.select import select

        return select(partition)


class ExtractPassagesOperator(StageOperator):
    """Read the shard's articles, clean them, cut them into passages."""

    def build(self, partition: Night) -> Built:
        from ultralink.stages.extract import extract

        return extract(partition, self.shard)

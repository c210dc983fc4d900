"""How a row and a task end for now, because an answer comes by the Batch API and not at once."""

from __future__ import annotations


class Unanswered(BaseException):
    """The row's next answer is not in the journal yet; its request is noted for the next batch.

    Not an Exception: no row program may take it for an answer that went wrong.
    """


class Waiting(Exception):
    """The task has to wait: for the batch ``batch_id``, or just ``pause_s`` seconds; then it is to be begun again."""

    def __init__(self, reason: str, *, batch_id: str | None = None, pause_s: float = 0.0) -> None:
        super().__init__(reason)
        self.batch_id, self.pause_s = batch_id, pause_s

"""The source of a pass in batch mode: it answers nothing, and notes what it was asked for the next wave."""

from __future__ import annotations

from collections.abc import Mapping

from ultralink.errors import BudgetExceeded
from ultralink.teacher.batch.elsewhere import Sent
from ultralink.teacher.batch.spool import Spool
from ultralink.teacher.batch.tickets import Notes
from ultralink.teacher.budget import Purse, estimate_prompt_tokens
from ultralink.teacher.record import Record, Usage
from ultralink.teacher.request import Form, Request
from ultralink.teacher.waiting import Unanswered


class Collector:
    """Notes each request once. One that the provider has refused is refused again, without being sent.

    One that another task has sent is awaited from there. One for which the budget has no room is left for a later
    wave, when this one's real cost is known.
    """

    rehearses = False
    in_flight = 0

    def __init__(self, spool: Spool, purse: Purse, notes: Notes, elsewhere: Mapping[str, Sent]) -> None:
        self._spool, self._purse, self._notes, self._elsewhere = spool, purse, notes, elsewhere
        self.awaited: dict[str, Sent] = {}  # by the ticket's name: batches of other tasks that have what is asked for
        self.no_room: BudgetExceeded | None = None

    async def answer(self, request: Request, step: str) -> Record:
        """Never returns. Raises Unanswered, or the refusal that this request has met."""
        refusal = self._notes.refused.get(request.key)
        if refusal is not None:
            raise refusal.error()
        sent = self._elsewhere.get(request.key)
        if sent is not None:
            self.awaited[sent.ticket.name] = sent
        elif request.key not in self._spool and self._has_room(request):
            self._spool.add(request, step, self._notes.forms.get(request.model, Form.JSON_SCHEMA))
        raise Unanswered(step)

    def stop(self) -> None:
        """Nothing is under way."""

    def _has_room(self, request: Request) -> bool:
        if self.no_room is not None:
            return False
        prompt = estimate_prompt_tokens(request) if self._purse.counts else 0
        try:
            self._purse.set_aside(request.model, Usage(prompt, 0, request.sampling.max_tokens))
        except BudgetExceeded as error:
            self.no_room = error
            return False
        return True

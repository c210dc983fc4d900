"""The hard cap of a run in USD and tokens, checked before each call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ultralink.errors import BudgetExceeded, ModelUnknown
from ultralink.teacher.listener import LEVELS, NOBODY, Listener, Spent
from ultralink.teacher.models import ModelCards, Prices
from ultralink.teacher.record import Usage
from ultralink.teacher.request import Request
from ultralink.tokens import count_tokens

TOKENS_PER_MESSAGE = 8  # what chat templates put around a message, generously
ROUNDING_USD = 1e-9


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may spend; None: no cap."""

    usd: float | None = None
    tokens: int | None = None

    def share(self, shards: int, of: float = 1.0) -> Budget:
        """One shard's part of the share ``of`` (0 to 1): all get equal parts, so their sum can't pass the cap.

        What one shard leaves over is not given to another.
        """
        return Budget(
            None if self.usd is None else self.usd * of / shards,
            None if self.tokens is None else int(self.tokens * of) // shards,
        )

    @property
    def is_open(self) -> bool:
        """There is no cap at all."""
        return self.usd is None and self.tokens is None


NO_BUDGET = Budget()


@dataclass(slots=True)
class Spending:
    """USD and tokens, spent or set aside."""

    usd: float = 0.0
    tokens: float = 0.0

    def add(self, other: Spending, times: float = 1) -> None:
        self.usd += other.usd * times
        self.tokens += other.tokens * times


def estimate_prompt_tokens(request: Request) -> int:
    """Tokens of the prompt as cl100k_base counts them, with the schema and what the chat template adds."""
    texts = [message.content for message in request.messages]
    if request.schema is not None:
        texts.append(request.schema.text)
    return sum(count_tokens(text) + TOKENS_PER_MESSAGE for text in texts)


class Purse:
    """What a shard may still spend.

    Before each call its worst case is set aside: the whole prompt, uncached, and ``max_tokens``. A call for
    which there is no room waits for those in flight to turn out cheaper; with none in flight it is
    refused. Should the server count more tokens than this library, the estimate is corrected from then on.
    """

    def __init__(
        self, budget: Budget, cards: ModelCards, spent: Spending, listener: Listener = NOBODY, *, batch: bool = False
    ) -> None:
        self._budget, self._cards, self._batch = budget, cards, batch
        self._listener, self._told = listener, 0.0
        self.spent = spent
        self._reserved = Spending()
        self._running = 0
        self._changed = asyncio.Event()
        self._prompt_factor = self._completion_factor = 1.0
        self._tell(self._share())

    @property
    def counts(self) -> bool:
        """Some cap is set, so estimates are needed."""
        return not self._budget.is_open

    def check_models(self, *models: str) -> None:
        """Raise ModelUnknown if a USD budget is set and a model has no price."""
        for model in models:
            self._prices(model)

    async def reserve(self, model: str, estimate: Usage) -> Hold:
        """Set the worst case of a call aside. Raises BudgetExceeded, ModelUnknown."""
        hold = Hold(self, estimate, self._prices(model))
        await self.take(hold)
        return hold

    async def take(self, hold: Hold) -> None:
        """Wait until there is room for ``hold``, and set it aside."""
        while True:
            worst = self._worst(hold)
            if self._has_room(worst):
                break
            if self._running == 0:
                self._changed.set()
                self.used_up()
                raise BudgetExceeded(self._message(worst))
            self._changed.clear()
            await self._changed.wait()
        hold.reserved = worst
        self._reserved.add(worst)
        self._running += 1

    def set_aside(self, model: str, estimate: Usage) -> None:
        """Set the worst case of a request of a batch aside, for good. Raises BudgetExceeded where there is no room."""
        worst = self._worst(Hold(self, estimate, self._prices(model)))
        if not self._has_room(worst):
            raise BudgetExceeded(self._message(worst))
        self._reserved.add(worst)

    def put_back(self, hold: Hold, spent: Spending) -> None:
        """A call is over: what was set aside is free, ``spent`` is gone."""
        self._reserved.add(hold.reserved, -1)
        self.spent.add(spent)
        self._running -= 1
        self._changed.set()
        self._tell(self._share())

    def used_up(self) -> None:
        """There is no room for what is still to be asked: the listener is told that all is gone."""
        self._tell(1.0)

    def learn(self, estimate: Usage, real: Usage) -> None:
        """Correct the estimate by what the server counted."""
        if estimate.prompt and estimate.completion:
            self._prompt_factor = max(self._prompt_factor, real.prompt / estimate.prompt)
            self._completion_factor = max(self._completion_factor, real.completion / estimate.completion)

    def _prices(self, model: str) -> Prices | None:
        card = self._cards.find(model)
        if card is None and self._budget.usd is not None:
            raise ModelUnknown(
                f"a budget of {self._budget.usd:g} USD is set, but include/models.yaml has no price for "
                f"model {model!r}: add it there or in a file of your own, named by ULTRALINK_MODELS, or set a budget "
                "in tokens"
            )
        return self._cards.prices(model, batch=self._batch)

    def _worst(self, hold: Hold) -> Spending:
        estimate = hold.estimate
        usage = Usage(
            round(estimate.prompt * self._prompt_factor),
            0,
            round(estimate.completion * self._completion_factor),
        )
        return cost(usage, hold.prices)

    def _has_room(self, more: Spending) -> bool:
        usd, tokens = self._budget.usd, self._budget.tokens
        return (usd is None or self.spent.usd + self._reserved.usd + more.usd <= usd + ROUNDING_USD) and (
            tokens is None or self.spent.tokens + self._reserved.tokens + more.tokens <= tokens
        )

    def _share(self) -> float:
        """What is gone, as a share of the cap that is nearer; a cap of nothing is never near."""
        usd, tokens = self._budget.usd, self._budget.tokens
        return max(self.spent.usd / usd if usd else 0.0, self.spent.tokens / tokens if tokens else 0.0)

    def _tell(self, share: float) -> None:
        level = max((level for level in LEVELS if share >= level), default=0.0)
        if level > self._told:
            self._told = level
            spent, budget = self.spent, self._budget
            self._listener.spent(Spent(level, spent.usd, budget.usd, spent.tokens, budget.tokens))

    def _message(self, worst: Spending) -> str:
        caps = []
        if self._budget.usd is not None:
            caps.append(f"{self.spent.usd:.4f} of {self._budget.usd:.4f} USD")
        if self._budget.tokens is not None:
            caps.append(f"{self.spent.tokens:.0f} of {self._budget.tokens} tokens")
        need = f"{worst.usd:.4f} USD, {worst.tokens:.0f} tokens"
        return (
            f"the budget of this shard has no room for the next call: spent {' and '.join(caps)}, and the "
            f"call may need {need}. Raise the recipe's budget and clear the task: what was paid for is kept"
        )


class Hold:
    """Room set aside for one ask. ``again`` after a lost try, in the end ``settle`` or ``drop``."""

    __slots__ = ("_lost", "_open", "_purse", "estimate", "prices", "reserved")

    def __init__(self, purse: Purse, estimate: Usage, prices: Prices | None) -> None:
        self._purse, self.estimate, self.prices = purse, estimate, prices
        self.reserved = Spending()
        self._lost = Spending()
        self._open = True

    async def again(self) -> None:
        """A try was (or may have been) billed without a usable answer: count its worst case, reserve anew."""
        self._lost.add(self.reserved)
        self._purse.put_back(self, self.reserved)
        self._open = False
        await self._purse.take(self)
        self._open = True

    def settle(self, usage: Usage, lost: int) -> None:
        """The answer took ``usage``; so, as far as anyone can tell, did each of the ``lost`` tries."""
        self._purse.learn(self.estimate, usage)
        spent = Spending()
        spent.add(cost(usage, self.prices), 1 + lost)
        spent.add(self._lost, -1)
        self._open = False
        self._purse.put_back(self, spent)

    def drop(self) -> None:
        """There will be no answer."""
        if self._open:
            self._open = False
            self._purse.put_back(self, Spending())


def cost(usage: Usage, prices: Prices | None) -> Spending:
    """USD (0 where no price is known) and tokens of one call."""
    usd = 0.0 if prices is None else prices.cost(usage.prompt, usage.cached, usage.completion)
    return Spending(usd, usage.prompt + usage.completion)

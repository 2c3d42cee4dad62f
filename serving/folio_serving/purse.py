"""What one query may spend of the budgets that it falls under: reserved before each call, settled after the
last.

A rung that does not fit is passed over with reason OverBudget. Under `onExceeded: Cheapest` the cheapest
rung of the ladder is asked all the same, and what it costs is counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from folio_api.table import Budget, Price
from folio_serving.budget import SCALE, Lease
from folio_serving.conversation import Ask, Attempt, Question
from folio_serving.cost import expected_usd
from folio_serving.errors import Trouble
from folio_serving.estimate import tokens_of, usd_of
from folio_serving.leases import Leases


@dataclass(slots=True)
class _Charge:
    """What a query takes from one budget."""

    budget: Budget
    lease: Lease
    window: int = -1
    reserved: int = 0
    taken: bool = False
    """Whether anything was asked at this budget's expense."""
    beyond: bool = False
    """The budget is exceeded, and only the cheapest rung may still be asked."""

    def note(self, amount: int) -> None:
        if not self.lease.counts(self.window):
            self.reserved = 0
        self.window = self.lease.window
        self.reserved += amount
        self.taken = True

    def give_back(self, amount: int) -> None:
        self.lease.settle(self.window, amount, 0)
        self.reserved -= amount

    def settle(self, actual: int | None) -> None:
        """Book what the query took; unknown is what was reserved for it.

        A query that no rung was asked for may have paid for its classifier, and counts as no request.
        """
        if not self.taken and actual and self.budget.unit != "requests":
            self.note(0)
        if self.taken:
            self.lease.settle(self.window, self.reserved, self.reserved if actual is None else actual)
            self.reserved, self.taken = 0, False


_FREE = Price()


class Purse:
    """One query's."""

    def __init__(self, leases: Leases, subjects: Sequence[tuple[Budget, str]], question: Question) -> None:
        self._leases = leases
        self._question = question
        self._charges = [_Charge(budget, leases.lease(budget, subject)) for budget, subject in subjects]
        self._exceeded: set[tuple[str, str]] = set()

    async def refusal(self, asks: Sequence[Ask]) -> Trouble | None:
        """Reserve what these calls will take, of every budget or of none; say why they must not be made."""
        taken: list[tuple[_Charge, int]] = []
        for charge in self._charges:
            amount = self._amount(charge, asks)
            refused = await self._refused(charge, amount, asks[0].rung)
            if refused is not None:
                for other, reserved in taken:
                    other.give_back(reserved)
                return refused
            charge.note(amount)
            taken.append((charge, amount))
        return None

    def settle(self, attempts: Sequence[Attempt] | None) -> None:
        """Book what the query came to; None: nobody knows, as its client left."""
        for charge in self._charges:
            charge.settle(None if attempts is None else _spent(charge.budget, attempts))
        for name_and_outcome in self._exceeded:
            self._leases.exceeded[name_and_outcome] += 1
        self._exceeded.clear()

    async def _refused(self, charge: _Charge, amount: int, rung: int) -> Trouble | None:
        budget = charge.budget
        if not charge.beyond and (not amount or await self._leases.reserve(charge.lease, amount)):
            return None
        if budget.on_exceeded == "Cheapest" and rung == self._cheapest():
            charge.beyond = True
            charge.lease.force(amount)
            self._exceeded.add((budget.name, "Cheapest"))
            return None
        if budget.on_exceeded == "Refuse":
            self._exceeded.add((budget.name, "Refused"))
        return self._trouble(charge)

    def _amount(self, charge: _Charge, asks: Sequence[Ask]) -> int:
        unit = charge.budget.unit
        if unit == "requests":
            return 0 if charge.taken else 1
        if unit == "tokens":
            return sum(tokens_of(self._question, ask) for ask in asks)
        usd = math.fsum(usd_of(self._question, ask) for ask in asks)
        priced = any(self._question.models[ask.model].price != _FREE for ask in asks)
        # Replica time has no estimate before the first answer: a spent budget must keep that one back too.
        return max(math.ceil(usd * SCALE["usd"]), 1 if priced else 0)

    def _cheapest(self) -> int:
        """Return the rung that an answer of full length costs least at; of equals the first."""
        question = self._question

        def price(index: int) -> float:
            model = question.ladder[index].model
            busy = question.expected_seconds.get(model, 0.0)
            return expected_usd(
                question.models[model].price, question.prompt_tokens, question.max_tokens, busy
            )

        return min(range(len(question.ladder)), key=price)

    def _trouble(self, charge: _Charge) -> Trouble:
        budget, subject = charge.budget, charge.lease.counter.subject
        of = f" of {budget.scope.lower()} {subject}" if subject else ""
        after = math.ceil(self._leases.seconds_left(charge.lease))
        if self._leases.is_told(charge.lease):
            limit = f"{budget.limit:g} {_UNITS[budget.unit]}"
            said = f"budget {budget.name}{of} is spent: {limit}, until its window ends in {after} s"
        else:
            said = (
                f"budget {budget.name}{of} cannot be counted now: its counter does not answer,"
                f" and onExceeded ({budget.on_exceeded}) applies"
            )
        if budget.unit == "usd":
            return Trouble("OverBudget", said)
        return Trouble("OverBudget", said, retry_after_seconds=after)


_UNITS = {"usd": "USD", "tokens": "tokens", "requests": "requests"}


def _spent(budget: Budget, attempts: Sequence[Attempt]) -> int:
    if budget.unit == "requests":
        return 1
    if budget.unit == "usd":
        return math.ceil(math.fsum(one.usd for one in attempts) * SCALE["usd"])
    signals = [one.signals for one in attempts if one.signals is not None]
    return sum((one.prompt or 0) + (one.completion or 0) for one in signals)

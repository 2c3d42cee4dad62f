"""A gateway replica's leases of every budget: spent from at once, renewed in the background.

A request waits for the counter only when the slice is too small for it: once when a tenant is new, and
near the end of a budget. A counter that does not answer leaves what is leased for a minute, then
nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from folio_api.table import Budget, BudgetState
from folio_serving.budget import SCALE, CounterId, Lease
from folio_serving.counter import Counter

RENEW_SECONDS = 1.0
QUIET_RENEW_SECONDS = 5.0
"""Between two renewals of leases that nobody spends from."""
WAIT_SECONDS = 1.0
"""How long a request waits for the counter."""
DOWN_SECONDS = 0.5
"""How long nobody waits for a counter that did not answer."""
SILENT_SECONDS = 10.0
"""After which a counter that did not answer is said not to count, though leases last longer: more than a
quiet renewal takes."""
MOST_SUBJECTS = 20
"""Of each budget in the metrics: those that spent most."""

log = logging.getLogger("folio.leases")


class Leases:
    """All leases of one replica."""

    def __init__(self, replica: str, counter: Counter, clock: Callable[[], float] = time.monotonic) -> None:
        self._replica = replica
        self._counter = counter
        self._clock = clock
        self._leases: dict[CounterId, Lease] = {}
        self._budgets: tuple[Budget, ...] = ()
        self._loop: asyncio.Task[None] | None = None
        self._round: asyncio.Task[None] | None = None
        self._down_until = -1.0
        self._answered = False
        self._exchanged_at = -1.0
        self._heard_at = -math.inf
        """When the counter was asked what it last answered."""
        self.exceeded: Tally[tuple[str, str]] = Tally()
        """Queries by the budget that they met at its end, and by what was done: Refused or Cheapest."""

    def use(self, budgets: tuple[Budget, ...]) -> None:
        """Keep the leases of these budgets fresh from now on."""
        self._budgets = budgets
        for budget in budgets:
            if budget.scope == "Portfolio":
                self.lease(budget, "")
        if budgets and self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._renew())

    def lease(self, budget: Budget, subject: str) -> Lease:
        counter = CounterId(budget.name, budget.unit, max(1, round(budget.window_seconds)), subject)
        lease = self._leases.get(counter)
        if lease is None:
            lease = self._leases[counter] = Lease(counter, 0)
        lease.limit = limit_of(budget)
        return lease

    async def reserve(self, lease: Lease, amount: int) -> bool:
        """Take an amount, after a word with the counter if the slice is too small; False: the budget is
        exceeded, or its counter does not answer.
        """
        if lease.reserve(amount, self._clock()):
            return True
        if self._is_vain(lease):
            return False
        lease.need += amount
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                # A round may have left before we needed anything, and others may take what it brings.
                while not self._is_vain(lease):
                    await self._exchange_soon()
                    if lease.reserve(amount, self._clock()):
                        return True
        except TimeoutError:
            self._is_down("no answer in time")
        finally:
            lease.need -= amount
        return False

    def _is_vain(self, lease: Lease) -> bool:
        """Whether the counter just said that there is no more, or does not answer."""
        now = self._clock()
        return now < self._down_until or (now < lease.denied_until and lease.is_valid(now))

    def seconds_left(self, lease: Lease) -> float:
        """Return when the lease's window ends; a second where the counter may allow it by then."""
        return lease.ends - self._clock() if self.is_told(lease) else 1.0

    def is_told(self, lease: Lease) -> bool:
        """Whether the counter has the last word on what is left; else it does not answer."""
        return self._answered and lease.is_valid(self._clock())

    def states(self) -> tuple[BudgetState, ...]:
        """Return what is known of every budget that the whole portfolio shares."""
        shared = [budget for budget in self._budgets if budget.scope == "Portfolio"]
        return tuple(self._state(budget) for budget in shared)

    def metrics(self) -> Iterable[Metric]:
        """Return how far every budget is spent, as the counter last said."""
        labels = ["budget", "subject", "unit"]
        used = GaugeMetricFamily("folio_budget_used", "Spent in this window, by all replicas", labels=labels)
        limit = GaugeMetricFamily("folio_budget_limit", "What may be spent in a window", labels=labels)
        for lease in self._greatest():
            values = [lease.counter.budget, lease.counter.subject, lease.counter.unit]
            used.add_metric(values, max(lease.spent, lease.used) / SCALE[lease.counter.unit])
            limit.add_metric(values, lease.limit / SCALE[lease.counter.unit])
        exceeded = CounterMetricFamily(
            "folio_budget_exceeded",
            "Queries that met the end of a budget, and what was done",
            labels=["budget", "outcome"],
        )
        for name_and_outcome, count in self.exceeded.items():
            exceeded.add_metric(list(name_and_outcome), count)
        return (used, limit, exceeded)

    async def close(self) -> None:
        """Give back what is leased and not spent."""
        if self._loop is None:
            return
        self._loop.cancel()
        for lease in self._leases.values():
            lease.give_back()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(WAIT_SECONDS):
                await self._exchange()

    def _greatest(self) -> list[Lease]:
        """Return the leases that metrics tell of: labels must stay bounded however many tenants there are."""
        now = self._clock()
        present: dict[str, list[Lease]] = {}
        for lease in self._leases.values():
            if now < lease.ends:
                present.setdefault(lease.counter.budget, []).append(lease)
        most = (sorted(each, key=lambda lease: -lease.spent)[:MOST_SUBJECTS] for each in present.values())
        return [lease for leases in most for lease in leases]

    def _state(self, budget: Budget) -> BudgetState:
        lease, now = self.lease(budget, ""), self._clock()
        scale = SCALE[budget.unit]
        return BudgetState(
            name=budget.name,
            unit=budget.unit,
            used=max(lease.spent, lease.used) / scale,
            limit=lease.limit / scale,
            counted=lease.is_valid(now) and now - self._heard_at < SILENT_SECONDS,
        )

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            now = self._clock()
            self._forget(now)
            quiet = now - self._exchanged_at < QUIET_RENEW_SECONDS
            if now < self._down_until or (quiet and not any(map(Lease.is_stirred, self._leases.values()))):
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT_SECONDS):
                    await self._exchange_soon()

    def _forget(self, now: float) -> None:
        """Drop the leases of windows that are over; whoever spends again makes another."""
        over = [one for one in self._leases.values() if now >= one.ends and not one.reserved and not one.need]
        for lease in over:
            if lease.counter.subject and not lease.is_unheard():
                del self._leases[lease.counter]

    async def _exchange_soon(self) -> None:
        """Wait for one exchange with the counter, that of others if one is under way."""
        if self._round is None or self._round.done():
            self._round = asyncio.get_running_loop().create_task(self._exchange())
        await asyncio.shield(self._round)

    async def _exchange(self) -> None:
        await asyncio.sleep(0)  # whoever needs something in this turn of the loop is in the same report
        asked_at = self._exchanged_at = self._clock()
        told = [lease for lease in self._leases.values() if lease.is_stirred() or not lease.counter.subject]
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                grants = await self._counter.exchange(
                    self._replica, tuple(lease.report(asked_at) for lease in told)
                )
        except Exception as error:  # noqa: BLE001 - whatever keeps it from answering, onExceeded applies
            self._is_down(repr(error))
            return
        self._down_until, self._answered, self._heard_at = -1.0, True, asked_at
        for grant in grants:
            if (lease := self._leases.get(grant.counter)) is not None:
                lease.take(grant, asked_at)

    def _is_down(self, why: str) -> None:
        self._down_until, self._answered = self._clock() + DOWN_SECONDS, False
        log.warning("the counter of the budgets does not answer: %s", why)


def limit_of(budget: Budget) -> int:
    return round(budget.limit * SCALE[budget.unit])

"""A replica's leases while the counter is away, and what is said of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from folio_api.table import Budget
from folio_serving import leases
from folio_serving.budget import Book, Grant, Report
from folio_serving.leases import SILENT_SECONDS, Leases

NOON = 20_000.5 * 86_400


@dataclass
class Away:
    """A counter that answers while it is there."""

    is_there: bool = True
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    book: Book = field(default_factory=Book)

    async def exchange(self, replica: str, reports: tuple[Report, ...]) -> tuple[Grant, ...]:
        self.asked.set()
        if not self.is_there:
            raise ConnectionError("no counter")
        return self.book.exchange(replica, reports, NOON)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.005)
    monkeypatch.setattr(leases, "DOWN_SECONDS", 0.0)


def budget(scope: str) -> Budget:
    return Budget.model_validate(
        {"name": "day", "unit": "requests", "limit": 1000, "scope": scope, "window_seconds": 86_400}
    )


@pytest.mark.usefixtures("often")
async def test_what_a_tenant_first_spends_while_the_counter_is_away_is_counted_once_it_is_back() -> None:
    counter, each_tenant = Away(is_there=False), budget("Tenant")
    own = Leases("a", counter)
    own.use((each_tenant,))
    lease = own.lease(each_tenant, "acme")
    lease.force(3)
    lease.settle(lease.window, 3, 3)
    for _ in range(3):  # a round drops the leases that are over before it asks
        counter.asked.clear()
        await asyncio.wait_for(counter.asked.wait(), 5)
    counter.is_there = True

    async def counted() -> None:
        while own.lease(each_tenant, "acme").spent != 3:  # noqa: ASYNC110 - a round tells nobody of its end
            await asyncio.sleep(0.005)

    await asyncio.wait_for(counted(), 5)
    await own.close()


async def test_a_counter_that_is_silent_for_long_is_said_not_to_count_while_leases_last() -> None:
    counter, shared, now = Away(), budget("Portfolio"), 100.0
    own = Leases("a", counter, clock=lambda: now)
    own.use((shared,))
    lease = own.lease(shared, "")
    assert [each.counted for each in own.states()] == [False]
    assert await own.reserve(lease, 1)
    counter.is_there = False
    now += SILENT_SECONDS - 1
    assert [each.counted for each in own.states()] == [True]
    now += 1
    assert lease.is_valid(now)
    assert [each.counted for each in own.states()] == [False]
    counter.is_there = True
    assert await own.reserve(lease, 1)
    assert [each.counted for each in own.states()] == [True]
    await own.close()

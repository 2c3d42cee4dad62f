"""Budgets under real Ray: one actor counts for all gateway replicas, and its count outlives its process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any

import httpx
import psutil
import pytest
from tests.data_plane.gateway.conftest import Served

from folio_api.table import Budget
from folio_operator.serve_config import pool_marker
from folio_serving.counter_actor import ActorCounter, markers

LIMIT = 40
BUDGET = Budget(name="day", scope="Portfolio", unit="requests", limit=LIMIT, window_seconds=86_400)
IDLE_SECONDS = 10
"""After which a replica that is asked nothing holds nothing in advance: it halves that every second."""


def within(seconds: float, holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def actor_process(served: Served) -> psutil.Process:
    (found,) = [each for each in served.cluster.processes() if "BookKeeper" in " ".join(each.cmdline())]
    return found


def asked(url: str) -> httpx.Response:
    body = {"model": "fast", "messages": [{"role": "user", "content": "hi"}]}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)


def told(served: Served) -> list[dict[str, Any]]:
    """What each replica says of the budget."""
    return [budget for replica in served.state()["replicas"] for budget in replica["budgets"]]


@pytest.fixture
def replicas(served: Served) -> Iterator[list[str]]:
    """Two gateway replicas that spend from one budget: where each listens."""
    table = served.table(budgets=(BUDGET,))
    served.deploy(table, replicas=2)
    try:
        within(120, lambda: len(served.state()["replicas"]) == 2, "no second replica")
        served.wait(table.revision, "fast")
        yield served.cluster.replica_urls("gateway")
    finally:
        served.deploy(served.table())
        within(120, lambda: len(served.cluster.replica_pids("gateway")) == 1, "two replicas stay")
        served.wait(served.table().revision, "fast")


def test_the_counter_takes_as_much_of_the_gateways_marker_as_a_replica_and_nothing_else() -> None:
    assert markers({"CPU": 1.0, pool_marker("gateway"): 0.001, "memory": 5.0}) == {"pool-gateway": 0.001}
    assert markers({"CPU": 0.1}) == {}, "one machine has no pools"


class HeadAway(ActorCounter):
    """The counter while there is no head to ask for it."""

    lookups = 0

    def _found(self) -> Any:
        self.lookups += 1
        time.sleep(1)
        raise ConnectionError("no head")


async def test_a_head_that_is_away_blocks_one_thread_however_often_the_counter_is_asked() -> None:
    counter = HeadAway("desk", "bank")
    for _ in range(4):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await counter.exchange("a", ())
    assert counter.lookups == 1
    with pytest.raises(ConnectionError):
        await counter.exchange("a", ())


def test_two_replicas_share_a_budget_whose_count_outlives_the_actor(
    served: Served, replicas: list[str]
) -> None:
    assert len(replicas) == 2
    assert [asked(url).status_code for url in islice(cycle(replicas), 25)] == [200] * 25
    time.sleep(IDLE_SECONDS)

    first = actor_process(served)
    first.kill()
    killed = time.monotonic()
    within(60, lambda: asked(replicas[0]).status_code == 200, "no answer after the actor was killed")
    print(f"answered again {time.monotonic() - killed:.2f} s after the actor was killed")
    assert actor_process(served).pid != first.pid, "it was no new actor that answered"

    answers = 26
    turns = cycle(replicas)
    while answers < LIMIT and time.monotonic() - killed < 90:
        answers += asked(next(turns)).status_code == 200
    assert answers == LIMIT
    for url in replicas:
        refused = asked(url)
        assert (refused.status_code, refused.headers["x-folio-reason"]) == (429, "OverBudget")
    within(
        30,
        lambda: [(each["used"], each["counted"]) for each in told(served)] == [(LIMIT, True)] * 2,
        "the replicas do not know what was used",
    )
    assert {asked(url).status_code for url in replicas * 5} == {429}

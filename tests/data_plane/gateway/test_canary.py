"""A canary on real gateway replicas: what they tell lets the operator turn a bad candidate away and let a good one in."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import pytest
from tests.data_plane.cluster import gateway
from tests.data_plane.gateway.conftest import Served
from tests.integration.gateway.models import Plays
from tests.unit.operator.desk import desk

from folio_api.rollout import Canary
from folio_api.table import GatewayConfig, GatewayState, Rung, Table
from folio_operator.trials import Evidence, Standing, Tallies, standing

PERCENT = 30
REPLICAS = 2
CANARY = Canary.model_validate(
    {"percent": PERCENT, "duration": "4s", "abortOn": {"maxErrorRate": "0.05", "maxEscalationRate": "0.4"}}
)
MOST_SECONDS = 60


@dataclass
class Trial:
    """One candidate beside the active table, and the operator's eyes on it."""

    served: Served
    active: Table
    candidate: Table
    tallies: Tallies = field(default_factory=Tallies)
    since: datetime | None = None

    def deploy(self) -> None:
        config = GatewayConfig(active=self.active, candidate=self.candidate, canary_percent=PERCENT)
        self.served.cluster.deploy(gateway(config, REPLICAS), *self.served.applications)

    def look(self) -> Evidence:
        state = GatewayState.model_validate(self.served.state())
        counts = self.tallies.note(desk(), self.candidate.revision, state)
        seen = Evidence(counts, state, self.since)
        if self.since is None and seen.is_held and len(state.replicas) == REPLICAS:
            self.since = datetime.now(UTC)
        return Evidence(counts, state, self.since)

    def stands(self) -> Standing:
        return standing(CANARY, self.look(), datetime.now(UTC))

    async def until_held(self) -> None:
        began = time.monotonic()
        while self.since is None:
            assert time.monotonic() - began < MOST_SECONDS, self.look()
            await asyncio.to_thread(self.look)
            await asyncio.sleep(0.1)

    async def until_all_hold(self) -> None:
        """Wait until as many replicas as there were hold the candidate, each a living one."""
        began = time.monotonic()
        while not await asyncio.to_thread(self._all_hold):
            assert time.monotonic() - began < MOST_SECONDS
            await asyncio.sleep(0.2)

    def _all_hold(self) -> bool:
        answer = self.served.client.get("/internal/state", headers=self.served.cluster.token_header)
        if answer.status_code != 200:
            return False
        replicas = GatewayState.model_validate_json(answer.content).replicas
        return len(replicas) == REPLICAS and all(
            each.candidate == self.candidate.revision for each in replicas
        )

    async def until_ended(self) -> tuple[Standing, Counter[tuple[str, int]]]:
        """Ask at a steady pace, each time in another conversation, until the operator decides."""
        seen: Counter[tuple[str, int]] = Counter()
        began = time.monotonic()
        async with self.served.async_client() as client:
            while not (found := await asyncio.to_thread(self.stands)).has_ended:
                assert time.monotonic() - began < MOST_SECONDS, found
                seen += await ask(client, sum(seen.values()), 20)
        return found, seen


async def ask(client: httpx.AsyncClient, first: int, count: int) -> Counter[tuple[str, int]]:
    """Return how many answers each revision gave with each status."""
    bodies = [
        {"model": "folio", "messages": [{"role": "user", "content": f"question {number}"}]}
        for number in range(first, first + count)
    ]
    answers = await asyncio.gather(*(client.post("/v1/chat/completions", json=each) for each in bodies))
    return Counter((each.headers.get("x-folio-revision", ""), each.status_code) for each in answers)


@pytest.fixture(scope="module")
def active(served: Served) -> Iterator[Table]:
    """Two gateway replicas whose table asks a model that answers, beside a provider that fails."""
    table = served.table(default_ladder=(Rung(model="fast"),))
    before, served.provider.plays["big-1"] = served.provider.plays["big-1"], Plays(status=500, provider=True)
    served.deploy(table, REPLICAS)
    deadline = time.monotonic() + MOST_SECONDS
    while len(served.state()["replicas"]) < REPLICAS and time.monotonic() < deadline:
        time.sleep(0.2)
    served.wait(table.revision, "fast")
    yield table
    served.provider.plays["big-1"] = before
    served.deploy(served.table())


@pytest.mark.parametrize(
    ("ladder", "reason", "status"),
    [(("frontier",), "ErrorRate", 503), (("frontier", "fast"), "EscalationRate", 200)],
)
async def test_a_bad_candidate_is_condemned_by_what_its_part_of_the_traffic_met(
    served: Served, active: Table, ladder: tuple[str, ...], reason: str, status: int
) -> None:
    candidate = served.table(default_ladder=tuple(Rung(model=each) for each in ladder))
    trial = Trial(served, active, candidate)
    trial.deploy()
    await trial.until_held()
    found, seen = await trial.until_ended()
    tried = seen[candidate.revision, status]
    print(f"{reason}: {tried} of {seen.total()} requests met it; {found.message}")
    assert (found.phase, found.reason) == ("Rejected", reason)
    assert set(seen) == {(active.revision, 200), (candidate.revision, status)}
    assert 0.1 < tried / seen.total() < 0.55


async def test_a_good_candidate_is_promoted_after_its_time(served: Served, active: Table) -> None:
    candidate = served.table(default_ladder=(Rung(model="fast"), Rung(model="slow")))
    trial = Trial(served, active, candidate)
    trial.deploy()
    await trial.until_held()
    found, seen = await trial.until_ended()
    assert trial.since is not None
    lasted = (datetime.now(UTC) - trial.since).total_seconds()
    tried = seen[candidate.revision, 200]
    print(f"promoted after {lasted:.1f} s and {tried} of {seen.total()} requests, {PERCENT} % were to try it")
    assert found.phase == "Promoted"
    assert lasted >= CANARY.duration_seconds
    assert 0.6 * PERCENT < 100 * tried / seen.total() < 1.4 * PERCENT
    counted = trial.look().counts
    assert (counted.requests, counted.errors) == (tried, 0)


async def test_what_a_replica_counted_outlives_it(served: Served, active: Table) -> None:
    candidate = served.table(default_ladder=(Rung(model="fast"), Rung(model="idle")))
    trial = Trial(served, active, candidate)
    trial.deploy()
    await trial.until_held()
    async with served.async_client() as client:
        before = await ask(client, 0, 60)
        told = trial.look().counts.requests
        os.kill(served.cluster.replica_pids("gateway")[0], signal.SIGKILL)
        await trial.until_all_hold()
        after = await ask(client, 60, 60)
    assert told == before[candidate.revision, 200] > 0
    left = GatewayState.model_validate(served.state())
    alive = sum(
        one.requests for each in left.replicas for one in each.trials if one.revision == candidate.revision
    )
    total = trial.look().counts.requests
    print(f"{told} requests counted, {alive} known to the replicas that are left, {total} to the operator")
    assert total == told + after[candidate.revision, 200] > alive

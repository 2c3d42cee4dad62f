"""A new version of a model takes over under load. Asked by its name, so that nobody could stand in for it."""

from __future__ import annotations

import asyncio
import time
from itertools import groupby, pairwise

from tests.data_plane.portfolio.conftest import LABELS, START_SECONDS, Running
from tests.data_plane.portfolio.load import Asked, Outcome, load

NAMED = [Asked("spare", "my bicycle is late"), Asked("spare", "my bicycle is late", stream=True)]
OLD, NEW = LABELS["first"][0], LABELS["second"][0]
CLIENTS = 6


async def test_an_upgrade_with_surge_fails_no_request_and_the_new_version_takes_over(
    portfolio: Running,
) -> None:
    old = portfolio.cluster.replica_pids("model-spare")
    async with portfolio.http() as client, load(client, NAMED, clients=CLIENTS) as outcomes:
        await enough(outcomes, 50)
        revision = await asyncio.to_thread(portfolio.apply, spare="second")
        await asyncio.to_thread(portfolio.wait, revision, "spare", seconds=START_SECONDS)
        await asyncio.to_thread(portfolio.wait_for_another, "spare", *old)
        await enough(outcomes, len(outcomes) + 50)
    answers = [one.text for one in outcomes]
    print(report(answers))
    assert [one for one in outcomes if one.status != 200 or one.broken] == []
    assert {one.asked.stream for one in outcomes} == {False, True}
    assert set(answers) == {OLD, NEW}
    assert set(answers[:50]) == {OLD}
    assert set(answers[-40:]) == {NEW}


async def enough(outcomes: list[Outcome], count: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while len(outcomes) < count:
        assert time.monotonic() < deadline, f"{len(outcomes)} answers, not {count}"
        await asyncio.sleep(0.05)


def report(answers: list[str]) -> str:
    """Return how many each version gave, and how often the answers changed sides while both ran."""
    sides = [side for side, _ in groupby(answers)]
    changes = len(list(pairwise(sides)))
    return f"{answers.count(OLD)} old, {answers.count(NEW)} new, changed sides {changes} times"

"""5: heads are lost, and what serves goes on where there is a Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.stories import redis_pod
from tests.e2e.stories.faults import (
    BACK_SECONDS,
    PATIENT,
    QUESTION,
    SETTLED_SECONDS,
    Faults,
    outage,
)
from tests.e2e.stories.fragile import DESK, DURABLE, desk, durable, forget_durable, serving
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

OFTEN_SECONDS = 0.5


@pytest.fixture(scope="module")
def faults(story: Story) -> Iterator[Faults]:
    redis_pod.start(story)
    with serving(story, desk(), durable()) as found:
        yield found


def test_budgets_say_which_of_them_outlives_its_head(faults: Faults):
    wait_for(
        "both say so",
        lambda: (
            [faults.story.condition(name, "BudgetAvailable") for name in (DESK, DURABLE)]
            == [("Unknown", "NotDurable"), ("True", "Unspent")]
        ),
        30,
    )


def test_the_counter_comes_back_where_gateways_are_and_never_on_the_head(faults: Faults):
    before = faults.containers(DURABLE, "gateway")
    (gateway,) = faults.gateways(DURABLE)
    assert faults.counters(DURABLE) == {gateway: "gateway"}
    faults.crash(gateway)
    faults.wait_other(DURABLE, "gateway", before)
    faults.wait_back(DURABLE)
    assert list(faults.counters(DURABLE).values()) == ["gateway"]


def test_a_lost_head_is_an_outage_unless_there_is_a_redis(faults: Faults, figure: Callable[[str], None]):
    story = faults.story

    said: set[tuple[str, str]] = set()

    def another() -> bool:
        time.sleep(OFTEN_SECONDS)
        said.update(story.untrue(DURABLE))
        now = faults.containers(DURABLE, "head")
        return bool(now) and not now & heads[DURABLE]

    heads = {name: faults.containers(name, "head") for name in (DESK, DURABLE)}
    gateways = {name: faults.containers(name, "gateway") for name in (DESK, DURABLE)}
    with (
        story.client.load(DESK, QUESTION, **PATIENT) as without,
        story.client.load(DURABLE, QUESTION, **PATIENT) as durable_load,
    ):
        time.sleep(SETTLED_SECONDS)
        faults.destroy(*story.pods(DESK, "head"), *story.pods(DURABLE, "head"))
        wait_for("durable has another head", another, BACK_SECONDS)
        faults.wait_other(DESK, "gateway", gateways[DESK])
        faults.wait_back(DESK)
        time.sleep(SETTLED_SECONDS)
    figure(f"the head is lost, without Redis: {outage(without)}")
    figure(f"the same with Redis: {outage(durable_load)}; it said {sorted(said)} of itself")

    assert not durable_load.lost, durable_load.losses()
    assert not said, "its gateways and models answered all the while"
    assert faults.containers(DURABLE, "gateway") == gateways[DURABLE]
    assert without.silence_seconds < BACK_SECONDS


def test_with_redis_budgets_outlive_every_pod(faults: Faults, figure: Callable[[str], None]):
    story = faults.story
    with story.client.load(DURABLE, QUESTION, **PATIENT):
        time.sleep(SETTLED_SECONDS)
    wait_for("it has counted", lambda: faults.used(DURABLE) > PATIENT["per_second"], 30)
    time.sleep(SETTLED_SECONDS)  # the copy is written once a second
    before, heads = faults.used(DURABLE), faults.containers(DURABLE, "head")
    began = time.monotonic()
    faults.destroy(*story.pods(DURABLE))
    faults.wait_other(DURABLE, "head", heads)
    faults.wait_back(DURABLE)
    took = time.monotonic() - began
    wait_for("the count went on", lambda: faults.used(DURABLE) >= before, 30)
    figure(
        f"all pods lost, with Redis: answers after {took:.1f} s, and {before:.0f} counted requests are known"
    )


def test_deleted_it_leaves_nothing_in_redis(faults: Faults, figure: Callable[[str], None]):
    assert _keys(faults) > 0
    began = time.monotonic()
    forget_durable(faults.story)
    figure(
        f"deleted after {time.monotonic() - began:.1f} s, which KubeRay's cleaning of Redis is part of;"
        f" {_keys(faults)} keys are left"
    )
    assert _keys(faults) == 0


def _keys(faults: Faults) -> int:
    return int(faults.inside(redis_pod.NAME, "redis-cli dbsize").split()[-1])

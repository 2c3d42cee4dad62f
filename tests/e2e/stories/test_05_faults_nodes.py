"""5: nodes and gateways are lost, and what serves goes on or comes back by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from kubernetes import client
from tests.e2e.stories import nodes, redis_pod
from tests.e2e.stories.faults import (
    BACK_SECONDS,
    PATIENT,
    QUESTION,
    SETTLED_SECONDS,
    Containers,
    Faults,
    outage,
    shares,
)
from tests.e2e.stories.fragile import DESK, DURABLE, desk, durable, serving
from tests.e2e.stories.nodes import Node
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

DOWN_SECONDS = 55
"""How long a node stays away: longer than until it is missed and its pods are sent away, on the cluster of the tests."""
MOST_SILENCE_SECONDS = 20.0
"""Without an answer, with a node lost and a gateway left: a connection to the lost one is given up after 5 s."""
MOST_CRASH_SILENCE_SECONDS = 8.0
STALE_REQUESTS = 2


@pytest.fixture(scope="module")
def node(api: client.ApiClient, story: Story) -> Iterator[Node | None]:
    """The node that is lost; all that is not the story's is sent away from it."""
    found = nodes.one_to_lose(api)
    if found is None:
        yield None
        return
    try:
        found.clear()
        story.client.start()  # again: the one before may have stood there
        story.client.start_provider()
        redis_pod.start(story)
        found.open()
        yield found
    finally:
        found.start()
        wait_for(f"{found.name} is ready", found.is_ready, 60)
        found.open()


@pytest.fixture(scope="module")
def faults(story: Story, node: Node | None) -> Iterator[Faults]:
    portfolios = (desk(node), durable(node)) if node else (desk(),)
    with serving(story, *portfolios) as found:
        yield found


def test_a_lost_node_is_an_outage_unless_gateways_stand_on_two(
    faults: Faults, node: Node | None, figure: Callable[[str], None]
):
    if node is None:
        pytest.skip(nodes.HOW)
    story = faults.story
    faults.wait_apart(DESK)
    alone = faults.containers(DURABLE, "gateway")
    lost = {each["metadata"]["name"] for each in story.pods(DESK) if each["spec"]["nodeName"] == node.name}
    goes_along = "which goes along" if lost & set(faults.counters(DESK)) else "which stays"
    with (
        story.client.load(DESK, QUESTION, **PATIENT) as two,
        story.client.load(DURABLE, QUESTION, **PATIENT) as one,
    ):
        time.sleep(SETTLED_SECONDS)
        counted = faults.used(DURABLE)
        time.sleep(SETTLED_SECONDS)  # the copy is written once a second
        node.kill()
        time.sleep(DOWN_SECONDS)
        node.start()
        back = time.time()
        faults.wait_other(DURABLE, "gateway", alone)
        faults.wait_back(DURABLE)
        faults.wait_apart(DESK)
        restored = time.time()
        time.sleep(SETTLED_SECONDS)
    _, answered = one.silence
    figure(f"a node is lost for {DOWN_SECONDS} s, gateways on two, the counter on the one {goes_along}:")
    figure(f"{outage(two)}; {shares(two)}")
    figure(
        f"the same, one gateway: {outage(one)}; answered {answered - back:.1f} s after the node was there again,"
        f" desk has two gateways in two pods after {restored - back:.1f} s"
    )

    assert two.silence_seconds < MOST_SILENCE_SECONDS, two.losses()
    assert one.silence_seconds > DOWN_SECONDS / 2
    # A node that is back calls its old pods ready for a moment, as it left them.
    assert len([each for each in two.lost if each.at > restored]) <= STALE_REQUESTS, two.losses()
    later = sum(1 for each in one.requests if not each.lost and each.at >= answered)
    wait_for("the count went on", lambda: faults.used(DURABLE) >= counted + later, 30)
    assert counted > 0


def test_a_gateway_that_dies_with_the_counter_is_replaced_and_the_other_answers(
    faults: Faults, figure: Callable[[str], None]
):
    faults.wait_apart(DESK)
    before = faults.containers(DESK, "gateway")
    wait_for("its budget has a counter", lambda: len(faults.counters(DESK)) == 1, BACK_SECONDS)
    ((pod, role),) = faults.counters(DESK).items()
    assert role == "gateway"
    with faults.story.client.load(DESK, QUESTION, timeout=10) as load:
        time.sleep(SETTLED_SECONDS)
        faults.crash(pod)
        died = time.monotonic()
        wait_for("another container runs", lambda: _is_replaced(faults, before), BACK_SECONDS)
        faults.wait_apart(DESK)
        took = time.monotonic() - died
        time.sleep(SETTLED_SECONDS)
    figure(
        f"one gateway of two dies, which has the budget's counter: {outage(load)}; two again, in two pods, after {took:.1f} s"
    )
    figure(shares(load))

    assert load.silence_seconds < MOST_CRASH_SILENCE_SECONDS, load.losses()
    assert len(load.lost) < len(load.requests) / 20, load.losses()


def _is_replaced(faults: Faults, before: Containers) -> bool:
    now = faults.containers(DESK, "gateway")
    return len(now) == len(before) and now != before

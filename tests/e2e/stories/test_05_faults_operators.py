"""5: the operator and KubeRay are lost at their work, and what serves never notices."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from kubernetes import client
from tests.e2e.kuberay import KubeRay
from tests.e2e.stories import light
from tests.e2e.stories.faults import QUESTION, SETTLED_SECONDS, Faults
from tests.e2e.stories.fragile import DESK, desk, policy, serving
from tests.e2e.stories.release import NAMESPACE
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

from folio_operator import cluster as kinds

MADE = (kinds.SECRET, kinds.NETWORK_POLICY, kinds.REVISION, kinds.DISRUPTION_BUDGET, kinds.RAY_SERVICE)
"""What a pass makes of a new portfolio with two gateways."""
PORTFOLIOS = 30
"""So many new ones at once, that an operator is still at it when it is ended."""


@pytest.fixture(scope="module")
def faults(story: Story) -> Iterator[Faults]:
    with serving(story, desk()) as found:
        found.wait_apart(DESK)
        yield found


@pytest.fixture
def no_kuberay(kuberay: KubeRay) -> Iterator[KubeRay]:
    """KubeRay, whom the test puts to sleep."""
    yield kuberay
    kuberay.scale(1)


def test_an_operator_that_is_ended_at_its_work_is_succeeded_and_all_gets_done(
    faults: Faults, no_kuberay: KubeRay, figure: Callable[[str], None]
):
    """Without KubeRay, so that what the operator makes of the new portfolios starts no pod."""
    story = faults.story
    names = [f"new-{number}" for number in range(PORTFOLIOS)]
    pods = faults.pods(DESK)
    no_kuberay.scale(0)
    try:
        with story.client.load(DESK, QUESTION) as load:
            for name in names:
                story.apply(light.portfolio(name, replicas=2))
            wait_for("the operator is at it", lambda: any(_made(story, names).values()), 30)
            _end_operator(story)
            ended, left = time.monotonic(), _made(story, names)
            wait_for("all is made", lambda: _whole(_made(story, names)) == PORTFOLIOS, 120)
            took = time.monotonic() - ended
            time.sleep(SETTLED_SECONDS)
        half = sum(1 for each in left.values() if each) - _whole(left)
        figure(
            f"operator ended with {_whole(left)} of {PORTFOLIOS} new portfolios done and {half} half done:"
            f" all are done {took:.1f} s later; meanwhile {load.figure()}"
        )
        made = list(_made(story, names).values())
        accepted = {story.condition(name, "Accepted")[0] for name in names}
    finally:
        _delete(story, names)

    assert _whole(left) < PORTFOLIOS
    assert made == [made[0]] * PORTFOLIOS
    assert accepted == {"True"}
    assert not load.lost, load.losses()
    assert faults.pods(DESK) == pods


def test_an_edit_while_kuberay_is_down_waits_for_it_and_loses_nothing(
    faults: Faults, no_kuberay: KubeRay, figure: Callable[[str], None]
):
    story = faults.story
    pods = faults.pods(DESK)
    with story.client.load(DESK, QUESTION) as load:
        no_kuberay.scale(0)
        story.apply(policy("1.00"))
        story.wait_condition("default", "Accepted", kind=kinds.POLICY, seconds=30)
        time.sleep(SETTLED_SECONDS)
        waiting = story.condition("default", "Programmed", kinds.POLICY)
        meanwhile = story.client.chat(DESK, QUESTION).model
        no_kuberay.scale(1)
        took = story.wait_condition("default", "Programmed", kind=kinds.POLICY, seconds=120)
        confirmed = time.time()
        time.sleep(SETTLED_SECONDS)
    figure(
        f"edit while KubeRay is down: confirmed {took:.1f} s after its pod is there again; {load.figure()}"
    )

    assert waiting[0] != "True", waiting
    assert meanwhile == "triage"
    assert {each.model for each in load.requests if each.at > confirmed} == {"provider"}
    assert not load.lost, load.losses()
    assert faults.pods(DESK) == pods


def _end_operator(story: Story) -> None:
    core = client.CoreV1Api(story.release.api)
    for pod in story.release.pods():
        core.delete_namespaced_pod(pod.metadata.name, NAMESPACE, grace_period_seconds=0)


def _made(story: Story, names: list[str]) -> dict[str, Counter[str]]:
    """Return how many objects of each kind the operator has made for each portfolio."""
    found: dict[str, Counter[str]] = {name: Counter() for name in names}
    for kind in MADE:
        for each in story.namespace.list(kind):
            name = each["metadata"].get("labels", {}).get("folio.dev/portfolio")
            if name in found:
                found[name][kind.name] += 1
    return found


def _whole(made: dict[str, Counter[str]]) -> int:
    return sum(1 for each in made.values() if len(each) == len(MADE))


def _delete(story: Story, names: list[str]) -> None:
    """Delete them, and wait until they are gone: KubeRay must not find their RayServices when it wakes."""
    for name in names:
        for kind in (kinds.PORTFOLIO, kinds.RAY_SERVICE):
            with suppress(client.ApiException):  # not there any more, or never
                story.delete(kind, name)

    def left() -> set[str]:
        found = (*story.namespace.list(kinds.PORTFOLIO), *story.namespace.list(kinds.RAY_SERVICE))
        return {each["metadata"]["name"] for each in found} & set(names)

    wait_for("the new ones are gone", lambda: not left(), 90)

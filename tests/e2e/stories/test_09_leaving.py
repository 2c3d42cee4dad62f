"""9: suspended, resumed and deleted, with KubeRay and without it, nothing is left behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.e2e.kuberay import KubeRay
from tests.e2e.stories import inventory, light
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

from folio_operator import cluster as kinds

GRACE_SECONDS = 5
"""Instead of 30, of which Ray's pods use all: KubeRay starts them in a shell that does not hear SIGTERM."""
GONE_SECONDS = 90
ABSENT_SECONDS = 120
"""The operator gives KubeRay 60 s before it says that it is absent."""
KEPT = {kinds.SECRET, kinds.NETWORK_POLICY, kinds.REVISION}
"""What a suspended portfolio keeps: names, keys and history."""


@dataclass(frozen=True)
class Desk:
    """A story that knows what was there before its portfolio was."""

    story: Story
    before: inventory.Found
    cluster_before: inventory.Found

    def left(self) -> list[tuple[str, str]]:
        return sorted(inventory.of_namespace(self.story.namespace.name) - self.before)

    def goes(self) -> float:
        """Wait until nothing is left; return the seconds that it took."""
        began = time.monotonic()
        try:
            wait_for("everything is gone", lambda: self.left() == [], GONE_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}: left are {self.left()}") from None
        return time.monotonic() - began

    def comes_up(self) -> float:
        """Apply the portfolio as it is meant to be; return the seconds until it answers."""
        began = time.time()
        self.story.apply(portfolio())
        answer = self.story.client.chat("desk", "my bicycle", seconds=300)
        assert answer.status == 200, answer.text
        return answer.at - began

    def ray(self) -> list[str]:
        """What of Ray is there: that is what costs money."""
        found = (
            *self.story.namespace.list(kinds.RAY_SERVICE),
            *self.story.namespace.list(kinds.RAY_CLUSTER),
            *self.story.pods("desk"),
        )
        return [each["metadata"]["name"] for each in found]


def portfolio(**more: Any) -> dict[str, Any]:
    found = light.portfolio(**more)
    for part in (found["spec"]["gateway"], found["spec"]["ray"]["head"]):
        template = part.setdefault("podTemplate", {}).setdefault("spec", {})
        template["terminationGracePeriodSeconds"] = GRACE_SECONDS
    return found


@pytest.fixture(scope="module")
def desk(story: Story) -> Desk:
    *rest, _ = light.everything(story.client.start_provider())
    story.apply(rest)
    return Desk(story, inventory.of_namespace(story.namespace.name), inventory.of_cluster())


@pytest.fixture
def no_kuberay(kuberay: KubeRay) -> Iterator[KubeRay]:
    """KubeRay, whom the test puts to sleep."""
    yield kuberay
    kuberay.scale(1)


def test_suspended_it_holds_no_pod_and_resumed_it_answers(desk: Desk, figure: Callable[[str], None]):
    up = desk.comes_up()
    began = time.monotonic()
    desk.story.apply(portfolio(suspend=True))
    wait_for("all of Ray is gone", lambda: not desk.ray(), GONE_SECONDS)
    freed = time.monotonic() - began
    desk.story.wait_condition("desk", "Ready", "False", reason="Suspended")
    for kind in KEPT:
        assert desk.story.namespace.list(kind), kind.name

    again = desk.comes_up()
    figure(
        f"apply to first answer {up:.1f} s; suspended, all pods gone after {freed:.1f} s"
        f" ({GRACE_SECONDS} s of grace)"
    )
    figure(f"resumed, first answer after {again:.1f} s")


def test_deleted_it_leaves_nothing_behind(desk: Desk, figure: Callable[[str], None]):
    desk.story.delete(kinds.PORTFOLIO, "desk")
    figure(f"deleted, nothing of any kind left after {desk.goes():.1f} s")
    assert inventory.of_cluster() - desk.cluster_before == frozenset()
    desk.story.wait_condition("default", "Programmed", "Unknown", reason="Unused", kind=kinds.POLICY)


def test_without_kuberay_it_says_so_and_goes_once_that_is_allowed(
    desk: Desk, no_kuberay: KubeRay, figure: Callable[[str], None]
):
    desk.story.apply(portfolio())
    wait_for("Ray has pods", lambda: desk.story.pods("desk", "gateway"), 60)
    no_kuberay.scale(0)
    desk.story.delete(kinds.PORTFOLIO, "desk")
    said = desk.story.wait_condition(
        "desk", "Stalled", "True", reason="KubeRayAbsent", seconds=ABSENT_SECONDS
    )
    assert desk.story.namespace.list(kinds.RAY_SERVICE), "nobody allowed it to go yet"

    allowed = {"metadata": {"annotations": {"folio.dev/release-without-kuberay": "true"}}}
    desk.story.namespace.merge(kinds.PORTFOLIO, "desk", allowed)
    gone = desk.goes()
    figure(f"without KubeRay: said so after {said:.1f} s, nothing left {gone:.1f} s after it was allowed")
    told = [each["reason"] for each in desk.story.namespace.list(kinds.EVENT)]
    assert told.count("ReleasedWithoutKubeRay") == 1

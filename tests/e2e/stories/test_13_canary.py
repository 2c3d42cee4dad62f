"""13: a canary turns a bad policy away and lets a good one in."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client
from tests.e2e.stories import light
from tests.e2e.stories.load import Load
from tests.e2e.stories.release import NAMESPACE
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

from folio_operator import cluster as kinds

GATEWAYS = 2
PERCENT = 30
DURATION_SECONDS = 20
CANARY = {
    "percent": PERCENT,
    "duration": f"{DURATION_SECONDS}s",
    "abortOn": {"maxErrorRate": "0.05", "maxEscalationRate": "0.40"},
}
WITHDRAWN_SECONDS = 12
"""Within which a rejected candidate has left every gateway replica."""
QUESTION = "my bicycle, number {number}"
"""Each request is another conversation, which is what a hash draws among."""
MODELS = [{"name": "triage"}, {"name": "provider"}, {"name": "broken"}]


def policy(*models: str) -> light.Document:
    """Return a policy that asks these, the next where one fails."""
    ladder: list[dict[str, Any]] = [{"model": each, "accept": {"signal": "Always"}} for each in models]
    del ladder[-1]["accept"]
    return light.resource("RoutingPolicy", "default", {"defaultLadder": ladder})


@pytest.fixture(scope="module")
def desk(story: Story) -> Story:
    """A portfolio with a canary, whose policy asks triage alone; one of its providers fails whatever it is asked."""
    url = story.client.start_provider()
    broken = story.client.start_provider("broken", status=500)
    story.apply(light.head(), light.triage(), light.provider(url), light.provider(broken, "broken"))
    rollout = {"canary": CANARY}
    story.apply(policy("triage"), light.portfolio(replicas=GATEWAYS, models=MODELS, rollout=rollout))
    story.wait_ready("desk")
    return story


def revision(desk: Story) -> str:
    return str(desk.status("desk")["active"]["revision"])


def answered(load: Load) -> Counter[str]:
    return Counter(each.revision for each in load.requests)


def wait_rejected(desk: Story, count: int) -> str:
    """Wait until so many revisions were rejected; return why the last one was."""
    wait_for("a rejection", lambda: len(desk.status("desk").get("rejected", ())) >= count, 60)
    desk.wait_condition("default", "Stalled", kind=kinds.POLICY, reason="CanaryRejected", seconds=30)
    stalled = next(each for each in desk.status("desk")["conditions"] if each["type"] == "Stalled")
    return str(stalled["message"])


def restart_operator(desk: Story) -> None:
    for pod in desk.release.pods():
        client.CoreV1Api(desk.release.api).delete_namespaced_pod(pod.metadata.name, NAMESPACE)


def test_a_policy_that_fails_is_rejected_by_its_part_of_the_traffic(
    desk: Story, figure: Callable[[str], None]
):
    active = revision(desk)
    with desk.client.load("desk", QUESTION) as load:
        time.sleep(2)
        edited = time.time()
        desk.apply(policy("broken"))
        why = wait_rejected(desk, 1)
        took = time.time() - edited
        time.sleep(WITHDRAWN_SECONDS)
        withdrawn = time.time()
        time.sleep(3)
    figure(f"failing policy: rejected {took:.1f} s after it was applied: {why}")
    figure(f"of all requests it {load.figure()}")

    assert "requests failed" in why
    assert {each.revision for each in load.lost} <= set(answered(load)) - {active}, load.losses()
    assert load.lost
    assert {each.revision for each in load.requests if each.at > withdrawn} == {active}
    assert revision(desk) == active
    assert desk.condition("desk", "Ready")[0] == "True"


def test_a_policy_that_escalates_is_rejected_without_a_lost_request(
    desk: Story, figure: Callable[[str], None]
):
    active = revision(desk)
    with desk.client.load("desk", QUESTION) as load:
        edited = time.time()
        desk.apply(policy("broken", "triage"))
        why = wait_rejected(desk, 2)
        took = time.time() - edited
        time.sleep(WITHDRAWN_SECONDS)
    figure(f"escalating policy: rejected after {took:.1f} s: {why}; {load.figure()}")

    assert "went past their first rung" in why
    assert not load.lost, load.losses()
    assert [each["reason"] for each in desk.status("desk")["rejected"]] == ["EscalationRate", "ErrorRate"]
    assert revision(desk) == active


def test_a_good_policy_goes_live_after_its_time_and_a_restart_of_the_operator(
    desk: Story, figure: Callable[[str], None]
):
    active = revision(desk)
    with desk.client.load("desk", QUESTION) as load:
        edited = time.time()
        desk.apply(policy("provider"))
        wait_for("a trial", lambda: desk.status("desk").get("candidate", {}).get("phase") == "Canary", 60)
        began = time.time()
        restart_operator(desk)
        desk.wait_condition("default", "Programmed", kind=kinds.POLICY, seconds=120)
        promoted = time.time()
        time.sleep(2)
    candidate = revision(desk)
    trial = Counter(each.revision for each in load.requests if began < each.at < began + DURATION_SECONDS / 2)
    share = trial[candidate] / trial.total()
    figure(
        f"good policy: on trial {began - edited:.1f} s after it was applied, live {promoted - began:.1f} s later,"
        f" over a restart of the operator; it answered {share:.0%} of {trial.total()} requests meanwhile"
    )
    figure(f"meanwhile {load.figure()}")

    assert not load.lost, load.losses()
    assert candidate != active
    assert promoted - began >= DURATION_SECONDS - 3
    assert 0.5 * PERCENT < 100 * share < 1.7 * PERCENT
    assert "candidate" not in desk.status("desk")
    assert desk.client.chat("desk", "my bicycle").model == "provider"


def test_the_same_bad_policy_is_not_tried_again_before_another_input_changes(desk: Story):
    active = revision(desk)
    desk.apply(policy("broken"))
    wait_rejected(desk, 2)
    time.sleep(5)
    assert revision(desk) == active
    answers = {desk.client.chat("desk", f"my bicycle {n}").headers["x-folio-revision"] for n in range(12)}
    assert answers == {active}

"""14: Ray's token is rotated under load, by a second cluster that somebody approves."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.e2e.stories import light
from tests.e2e.stories.release import run
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

from folio_operator import cluster as kinds
from folio_operator.children import ROTATE
from folio_operator.credentials import values
from folio_operator.pod_secrets import RAY_TOKEN_KEY

ASKED_SECONDS = 30
MOVED_SECONDS = 240
"""KubeRay ends the old cluster 60 s after the move; its pods take their grace."""
OFTEN_SECONDS = 0.5
MOST_SILENCE_SECONDS = 5.0
ASK = """
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"authorization": "Bearer " + sys.stdin.read().strip()})
try:
    print(urllib.request.urlopen(request, timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


@pytest.fixture(scope="module")
def desk(story: Story) -> Story:
    story.apply(light.everything(story.client.start_provider(), replicas=2))
    story.wait_ready("desk")
    return story


def token(desk: Story) -> str:
    return values(desk.namespace.get(kinds.SECRET, "desk-ray-auth"))[RAY_TOKEN_KEY].decode()


def running(desk: Story) -> set[str]:
    return {each["metadata"]["uid"] for each in desk.pods("desk")}


def dashboard(desk: Story, bearer: str) -> int:
    """Return what the one head says to somebody with this token, who is in it: NetworkPolicies let nobody else."""
    (head,) = desk.pods("desk", "head")
    pod = (head["metadata"]["name"], "-c", "ray-head")
    inside = ("kubectl", "exec", "-i", "-n", desk.namespace.name, *pod, "--")
    url = f"http://{head['status']['podIP']}:8265/api/serve/applications/"
    return int(run(*inside, "python", "-c", ASK, url, given=bearer, seconds=60))


def test_another_token_is_asked_for_and_waits_for_approval(desk: Story, figure: Callable[[str], None]):
    before, pods = token(desk), running(desk)
    asked = time.monotonic()
    desk.namespace.merge(kinds.PORTFOLIO, "desk", {"metadata": {"annotations": {ROTATE: "1"}}})
    desk.wait_condition("desk", "Stalled", reason="ApprovalRequired", seconds=ASKED_SECONDS)
    plan = desk.status("desk")["plan"]
    assert plan["effect"] == "NewCluster"
    figure(f"asked for, {time.monotonic() - asked:.1f} s later it waits for approval: {plan['message']}")
    assert (token(desk), running(desk)) == (before, pods), "nothing changes before somebody approves"
    assert dashboard(desk, before) == 200


def test_approved_it_moves_to_a_second_cluster_under_load(desk: Story, figure: Callable[[str], None]):
    before, pods = token(desk), running(desk)
    approved = {"rollout": {"newCluster": {"approvedPlan": desk.status("desk")["plan"]["id"]}}}
    with desk.client.load("desk", "my bicycle") as load:
        time.sleep(3)
        began = time.time()
        desk.namespace.merge(kinds.PORTFOLIO, "desk", {"spec": approved})
        said: set[tuple[str, str]] = set()
        wait_for("a second cluster has pods", lambda: running(desk) - pods, MOVED_SECONDS)
        wait_for(
            "the first one is gone", lambda: _looked(desk, said) and not running(desk) & pods, MOVED_SECONDS
        )
        gone = time.time() - began
        desk.wait_ready("desk", seconds=MOVED_SECONDS)
        time.sleep(3)
    figure(f"rotated under load, the first cluster gone {gone:.1f} s after the approval: {load.figure()}")
    figure(
        f"the longest time without an answer {load.silence_seconds:.1f} s; it said {sorted(said)} of itself"
    )
    assert said == {("Programmed", "NewClusterStarting")}, "everything answers all the while"

    after = token(desk)
    assert after != before
    assert not load.lost, load.losses()
    assert load.silence_seconds < MOST_SILENCE_SECONDS
    figure(
        f"to its dashboard the new token is {dashboard(desk, after)}, the old one {dashboard(desk, before)}"
    )
    assert dashboard(desk, after) == 200
    assert dashboard(desk, before) in {401, 403}
    assert desk.client.chat("desk", "my bicycle").model == "triage"


def _looked(desk: Story, said: set[tuple[str, str]]) -> bool:
    """Note what the portfolio says of itself."""
    time.sleep(OFTEN_SECONDS)
    said |= desk.untrue("desk")
    return True

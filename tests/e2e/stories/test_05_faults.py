"""5: nodes, heads, gateways and operators are lost, and what serves goes on or comes back by itself.

desk has two gateway replicas on two nodes and no Redis; durable has a Redis, and its one gateway on the node that is lost.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes import client
from tests.e2e.kuberay import KubeRay
from tests.e2e.stories import light, nodes, redis_pod
from tests.e2e.stories.load import Load
from tests.e2e.stories.nodes import Node
from tests.e2e.stories.release import NAMESPACE, CommandError, run
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

from folio_operator import cluster as kinds

DESK, DURABLE = "desk", "durable"
QUESTION = "my bicycle"
UP_SECONDS = 300
BACK_SECONDS = 240
GRACE_SECONDS = 5
"""Of Ray's pods, instead of 30."""
DOWN_SECONDS = 55
"""How long a node stays away: longer than until it is missed and its pods are sent away, on the cluster of the tests."""
MOST_SILENCE_SECONDS = 20.0
"""Without an answer, with a node lost and a gateway left: a connection to the lost one is given up after 5 s."""
MOST_CRASH_SILENCE_SECONDS = 8.0
SETTLED_SECONDS = 3
TIMEOUT_SECONDS = 10.0
PATIENT: dict[str, Any] = {"clients": 40, "per_second": 20, "timeout": TIMEOUT_SECONDS}
"""Many clients, so that those who wait for what is dead do not keep the others from asking."""
MADE = (kinds.SECRET, kinds.NETWORK_POLICY, kinds.REVISION, kinds.DISRUPTION_BUDGET, kinds.RAY_SERVICE)
"""What a pass makes of a new portfolio with two gateways."""
PORTFOLIOS = 30
"""So many new ones at once, that an operator is still at it when it is ended."""
BUDGET = {"name": "ceiling", "scope": "Portfolio", "window": "168h", "limit": {"requests": 10_000_000}}
OF_GATEWAY = "^ray::ServeReplica:gateway:"
"""What Ray calls the process of a gateway's replica."""
COUNT = f"cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -ac '{OF_GATEWAY}' || true"
KILL_ONE = (
    "for each in /proc/[0-9]*; do"
    f" if tr '\\0' ' ' <$each/cmdline 2>/dev/null | grep -aq '{OF_GATEWAY}';"
    " then kill -9 ${each#/proc/}; break; fi; done"
)
TRIES = 5


@dataclass(frozen=True)
class Faults:
    """Two portfolios, and what can befall them."""

    story: Story
    node: Node | None
    """None where nothing can switch one off."""

    def gateways(self, portfolio: str) -> dict[str, int]:
        """Return how many gateway replicas run in each of the portfolio's gateway pods."""
        pods = [each for each in self.story.pods(portfolio, "gateway") if _runs(each)]
        return {name: self._replicas(name) for name in (each["metadata"]["name"] for each in pods)}

    def _replicas(self, pod: str) -> int:
        return int(self.inside(pod, COUNT) or 0)

    def stand_apart(self, portfolio: str) -> None:
        """Have the gateway replicas stand in different pods: Ray puts them where it has room, and moves none."""
        for _ in range(TRIES):
            wait_for("two replicas in two pods", lambda: self.are_two(portfolio), BACK_SECONDS)
            places = self.gateways(portfolio)
            if 0 not in places.values():
                return
            self.inside(max(places, key=lambda pod: places[pod]), KILL_ONE)
            time.sleep(SETTLED_SECONDS)
        pytest.fail(f"Ray put both gateway replicas into one pod {TRIES} times: {self.gateways(portfolio)}")

    def crash(self, pod: str) -> None:
        """Kill all processes of a pod, and with them its container."""
        self.inside(pod, "kill -9 -1")

    def destroy(self, *pods: dict[str, Any]) -> None:
        """Delete pods without any grace."""
        core = client.CoreV1Api(self.story.namespace.api)
        for each in pods:
            name = each["metadata"]["name"]
            core.delete_namespaced_pod(name, self.story.namespace.name, grace_period_seconds=0)

    def used(self, portfolio: str) -> float:
        """Return how many requests the budget's counter knows of; 0 while it does not answer."""
        told = self.story.client.http(f"{self.story.client.url(portfolio)}/metrics", timeout=5).text
        found = re.search(r'^folio_budget_used\{[^}]*budget="ceiling"[^}]*\} (\S+)$', told, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def wait_back(self, portfolio: str) -> None:
        answer = self.story.client.chat(portfolio, QUESTION, seconds=BACK_SECONDS, timeout=5)
        assert answer.status == 200, answer.text

    def wait_other(self, portfolio: str, role: str, before: set[tuple[str, int]]) -> None:
        """Wait until none of these containers runs any more, and others do."""

        def others() -> bool:
            now = self.containers(portfolio, role)
            return len(now) >= len(before) and not now & before

        wait_for(f"{portfolio} has another {role}", others, BACK_SECONDS)

    def containers(self, portfolio: str, role: str) -> set[tuple[str, int]]:
        """Return pod and number of restarts of the portfolio's containers of that role that run."""
        return {
            (each["metadata"]["uid"], sum(one["restartCount"] for one in each["status"]["containerStatuses"]))
            for each in self.story.pods(portfolio, role)
            if _runs(each)
        }

    def are_two(self, portfolio: str) -> bool:
        places = self.gateways(portfolio)
        return len(places) == 2 and sum(places.values()) == 2

    def inside(self, pod: str, script: str) -> str:
        """Run a script of bash in a pod; what cannot be run there says nothing."""
        command = ("kubectl", "exec", "-n", self.story.namespace.name, pod, "--", "bash", "-c", script)
        with suppress(CommandError, subprocess.TimeoutExpired):
            return run(*command, seconds=20).strip()
        return ""


def policy(at_least: str) -> light.Document:
    """Return a policy whose first rung is given up after 2 s, so that the next one stands in for one that is lost."""
    accept = {"signal": "Score", "atLeast": at_least}
    ladder = [{"model": "triage", "accept": accept, "timeout": "2s"}, {"model": "provider"}]
    return light.resource("RoutingPolicy", "default", {"defaultLadder": ladder})


def portfolio(
    name: str, *, replicas: int, head: dict[str, Any], gateway: dict[str, Any], **of_ray: Any
) -> light.Document:
    """Return a portfolio whose pods have these parts in their specs."""
    grace = {"terminationGracePeriodSeconds": GRACE_SECONDS}
    found = light.portfolio(name, replicas=replicas, budgets=[BUDGET])
    found["spec"]["gateway"]["podTemplate"]["spec"].update({**gateway, **grace})
    found["spec"]["ray"]["head"]["podTemplate"] = {"spec": {**head, **grace}}
    found["spec"]["ray"].update(of_ray)
    return found


def desk(node: Node | None) -> light.Document:
    """As docs/guide/sizing.md has it: two gateways on two nodes."""
    labels = {"folio.dev/portfolio": DESK, "folio.dev/role": "gateway"}
    spread = {"maxSkew": 1, "topologyKey": nodes.HOSTNAME, "labelSelector": {"matchLabels": labels}}
    gateway = {"topologySpreadConstraints": [{**spread, "whenUnsatisfiable": "DoNotSchedule"}]}
    return portfolio(DESK, replicas=2, head=_away_from(node), gateway=gateway)


def durable(node: Node | None) -> light.Document:
    there = {"affinity": node.only()} if node else {}
    redis = {"address": redis_pod.ADDRESS}
    return portfolio(DURABLE, replicas=1, head=_away_from(node), gateway=there, redis=redis)


@pytest.fixture(scope="module")
def node(api: client.ApiClient, story: Story) -> Iterator[Node | None]:
    """The node that is lost; all that is not the story's is sent away from it."""
    found = nodes.one_to_lose(api)
    if found is None:
        yield None
        return
    try:
        found.clear()
        yield found
    finally:
        found.start()
        wait_for(f"{found.name} is ready", found.is_ready, 60)
        found.open()


@pytest.fixture(scope="module")
def faults(story: Story, node: Node | None) -> Iterator[Faults]:
    story.client.start()  # again: the one before may have stood on the node that was cleared
    url = story.client.start_provider()
    redis_pod.start(story)
    if node:
        node.open()
    story.apply(light.head(), light.triage(), light.provider(url), policy("0.50"))
    story.apply(desk(node), durable(node))
    try:
        story.wait_ready(DESK, DURABLE, seconds=UP_SECONDS)
        yield Faults(story, node)
    finally:
        _delete_durable(story)


@pytest.fixture
def no_kuberay(kuberay: KubeRay) -> Iterator[KubeRay]:
    """KubeRay, whom the test puts to sleep."""
    yield kuberay
    kuberay.scale(1)


def _delete_durable(story: Story) -> None:
    """See durable off while Redis is there, which KubeRay cleans up in a pod: a namespace that ends takes none."""
    if story.namespace.get(kinds.PORTFOLIO, DURABLE) is not None:
        story.delete(kinds.PORTFOLIO, DURABLE)
    try:
        wait_for("durable is gone", lambda: not _clusters(story), 120)
    finally:
        for name in _clusters(story):
            story.namespace.merge(kinds.RAY_CLUSTER, name, {"metadata": {"finalizers": None}})


def test_budgets_say_which_of_them_outlives_its_head(faults: Faults):
    wait_for(
        "both say so",
        lambda: (
            [faults.story.condition(name, "BudgetAvailable") for name in (DESK, DURABLE)]
            == [("Unknown", "NotDurable"), ("True", "Unspent")]
        ),
        30,
    )


def test_an_operator_that_is_ended_at_its_work_is_succeeded_and_all_gets_done(
    faults: Faults, no_kuberay: KubeRay, figure: Callable[[str], None]
):
    """Without KubeRay, so that what the operator makes of the new portfolios starts no pod."""
    story = faults.story
    names = [f"new-{number}" for number in range(PORTFOLIOS)]
    pods = _uids(story)
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
    assert _uids(story) == pods


def test_an_edit_while_kuberay_is_down_waits_for_it_and_loses_nothing(
    faults: Faults, no_kuberay: KubeRay, figure: Callable[[str], None]
):
    story = faults.story
    pods = _uids(story)
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
    story.apply(policy("0.50"))
    story.wait_condition("default", "Programmed", kind=kinds.POLICY, seconds=60)

    assert waiting[0] != "True", waiting
    assert meanwhile == "triage"
    assert {each.model for each in load.requests if each.at > confirmed} == {"provider"}
    assert not load.lost, load.losses()
    assert _uids(story) == pods


def test_a_lost_node_is_an_outage_unless_gateways_stand_on_two(faults: Faults, figure: Callable[[str], None]):
    story, node = faults.story, faults.node
    if node is None:
        pytest.skip(nodes.HOW)
    faults.stand_apart(DESK)
    alone = faults.containers(DURABLE, "gateway")
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
        wait_for("two replicas in two pods", lambda: faults.are_two(DESK), BACK_SECONDS)
        restored = time.time()
        time.sleep(SETTLED_SECONDS)
    _, answered = one.silence
    figure(f"a node is lost for {DOWN_SECONDS} s, gateways on two: {outage(two)}; {shares(two)}")
    figure(
        f"the same, one gateway: {outage(one)}; answered {answered - back:.1f} s after the node was there again,"
        f" desk has two gateways after {restored - back:.1f} s"
    )
    figure(f"desk's replicas then stand in {occupied(faults)} of 2 pods")

    assert two.silence_seconds < MOST_SILENCE_SECONDS, two.losses()
    assert one.silence_seconds > DOWN_SECONDS / 2
    assert not [each for each in two.lost if each.at > restored], two.losses()
    later = sum(1 for each in one.requests if not each.lost and each.at >= answered)
    wait_for("the count went on", lambda: faults.used(DURABLE) >= counted + later, 30)
    assert counted > 0


def test_a_gateway_that_dies_is_replaced_and_the_other_answers(faults: Faults, figure: Callable[[str], None]):
    faults.stand_apart(DESK)
    before = faults.containers(DESK, "gateway")
    with faults.story.client.load(DESK, QUESTION, timeout=10) as load:
        time.sleep(SETTLED_SECONDS)
        faults.crash(next(iter(faults.gateways(DESK))))
        died = time.monotonic()
        wait_for("another pod runs", lambda: _replaced(faults, before), BACK_SECONDS)
        wait_for("two replicas in two pods", lambda: faults.are_two(DESK), BACK_SECONDS)
        took = time.monotonic() - died
        time.sleep(SETTLED_SECONDS)
    figure(f"one gateway of two dies: {outage(load)}; two again after {took:.1f} s; {shares(load)}")
    figure(f"they then stand in {occupied(faults)} of 2 pods")

    assert load.silence_seconds < MOST_CRASH_SILENCE_SECONDS, load.losses()
    assert len(load.lost) < len(load.requests) / 20, load.losses()


def test_a_lost_head_is_an_outage_unless_there_is_a_redis(faults: Faults, figure: Callable[[str], None]):
    story = faults.story
    heads = {name: faults.containers(name, "head") for name in (DESK, DURABLE)}
    gateways = {name: faults.containers(name, "gateway") for name in (DESK, DURABLE)}
    with (
        story.client.load(DESK, QUESTION, **PATIENT) as without,
        story.client.load(DURABLE, QUESTION, **PATIENT) as durable_load,
    ):
        time.sleep(SETTLED_SECONDS)
        faults.destroy(*story.pods(DESK, "head"), *story.pods(DURABLE, "head"))
        faults.wait_other(DURABLE, "head", heads[DURABLE])
        faults.wait_other(DESK, "gateway", gateways[DESK])
        faults.wait_back(DESK)
        time.sleep(SETTLED_SECONDS)
    figure(f"the head is lost, without Redis: {outage(without)}")
    figure(f"the same with Redis: {outage(durable_load)}")

    assert not durable_load.lost, durable_load.losses()
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
    story = faults.story
    assert _keys(faults) > 0
    began = time.monotonic()
    story.delete(kinds.PORTFOLIO, DURABLE)
    wait_for("durable is gone", lambda: not _clusters(story), 180)
    figure(
        f"deleted after {time.monotonic() - began:.1f} s, which KubeRay's cleaning of Redis is part of;"
        f" {_keys(faults)} keys are left"
    )
    assert _keys(faults) == 0


def outage(load: Load) -> str:
    return f"{load.figure()}, at most {load.silence_seconds:.1f} s without an answer"


def shares(load: Load) -> str:
    return ", ".join(f"{count} by {model}" for model, count in sorted(load.models.items()))


def occupied(faults: Faults) -> int:
    return sum(1 for count in faults.gateways(DESK).values() if count)


def _away_from(node: Node | None) -> dict[str, Any]:
    return {"affinity": node.elsewhere()} if node else {}


def _runs(pod: dict[str, Any]) -> bool:
    status = pod.get("status", {})
    return (
        status.get("phase") == "Running"
        and "deletionTimestamp" not in pod["metadata"]
        and all("running" in each["state"] for each in status.get("containerStatuses", ()))
    )


def _replaced(faults: Faults, before: set[tuple[str, int]]) -> bool:
    now = faults.containers(DESK, "gateway")
    return len(now) == len(before) and now != before


def _uids(story: Story) -> set[str]:
    return {each["metadata"]["uid"] for name in (DESK, DURABLE) for each in story.pods(name)}


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


def _clusters(story: Story) -> list[str]:
    """Return the names of durable's Ray clusters."""
    found = [each["metadata"]["name"] for each in story.namespace.list(kinds.RAY_CLUSTER)]
    return [name for name in found if name.startswith(f"{DURABLE}-")]


def _keys(faults: Faults) -> int:
    return int(faults.inside(redis_pod.NAME, "redis-cli dbsize").split()[-1])

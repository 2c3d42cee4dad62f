"""The portfolios to which faults happen.

desk has two gateway replicas on two nodes and no Redis; durable has a Redis and one gateway, on the node that is
lost where one is. Both have a budget that is never spent, and refuses while nobody can count.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.stories import light, nodes, redis_pod
from tests.e2e.stories.faults import Faults
from tests.e2e.stories.nodes import Node
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

from folio_operator import cluster as kinds

DESK, DURABLE = "desk", "durable"
UP_SECONDS = 300
GONE_SECONDS = 180
GRACE_SECONDS = 5
"""Of Ray's pods, instead of 30."""
BUDGET = {"name": "ceiling", "scope": "Portfolio", "window": "168h", "limit": {"requests": 10_000_000}}


def policy(at_least: str = "0.50") -> light.Document:
    """Return a policy whose first rung is given up after 2 s, so that the next one stands in for one that is lost."""
    accept = {"signal": "Score", "atLeast": at_least}
    ladder = [{"model": "triage", "accept": accept, "timeout": "2s"}, {"model": "provider"}]
    return light.resource("RoutingPolicy", "default", {"defaultLadder": ladder})


def desk(node: Node | None = None) -> light.Document:
    """As docs/guide/sizing.md has it: two gateways on two nodes."""
    labels = {"folio.dev/portfolio": DESK, "folio.dev/role": "gateway"}
    spread = {"maxSkew": 1, "topologyKey": nodes.HOSTNAME, "labelSelector": {"matchLabels": labels}}
    gateway = {"topologySpreadConstraints": [{**spread, "whenUnsatisfiable": "DoNotSchedule"}]}
    return _portfolio(DESK, replicas=2, head=_away_from(node), gateway=gateway)


def durable(node: Node | None = None) -> light.Document:
    there = {"affinity": node.only()} if node else {}
    redis = {"address": redis_pod.ADDRESS}
    return _portfolio(DURABLE, replicas=1, head=_away_from(node), gateway=there, redis=redis)


@contextmanager
def serving(story: Story, *portfolios: light.Document) -> Iterator[Faults]:
    """Bring portfolios up with all that they need."""
    story.apply(light.head(), light.triage(), light.provider(story.client.start_provider()), policy())
    story.apply(portfolios)
    try:
        story.wait_ready(*(each["metadata"]["name"] for each in portfolios), seconds=UP_SECONDS)
        yield Faults(story)
    finally:
        forget_durable(story)


def forget_durable(story: Story) -> None:
    """See durable off while Redis is there, which KubeRay cleans up in a pod: a namespace that ends takes none."""
    if story.namespace.get(kinds.PORTFOLIO, DURABLE) is not None:
        story.delete(kinds.PORTFOLIO, DURABLE)
    try:
        wait_for("durable is gone", lambda: not _clusters(story), GONE_SECONDS)
    finally:
        for name in _clusters(story):
            story.namespace.merge(kinds.RAY_CLUSTER, name, {"metadata": {"finalizers": None}})


def _clusters(story: Story) -> list[str]:
    """Return the names of durable's Ray clusters."""
    found = [each["metadata"]["name"] for each in story.namespace.list(kinds.RAY_CLUSTER)]
    return [name for name in found if name.startswith(f"{DURABLE}-")]


def _portfolio(
    name: str, *, replicas: int, head: dict[str, Any], gateway: dict[str, Any], **of_ray: Any
) -> light.Document:
    """Return a portfolio whose pods have these parts in their specs."""
    grace = {"terminationGracePeriodSeconds": GRACE_SECONDS}
    found = light.portfolio(name, replicas=replicas, budgets=[BUDGET])
    found["spec"]["gateway"]["podTemplate"]["spec"].update({**gateway, **grace})
    found["spec"]["ray"]["head"]["podTemplate"] = {"spec": {**head, **grace}}
    found["spec"]["ray"].update(of_ray)
    return found


def _away_from(node: Node | None) -> dict[str, Any]:
    return {"affinity": node.elsewhere()} if node else {}

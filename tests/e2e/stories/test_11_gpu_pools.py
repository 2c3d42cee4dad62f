"""11: workers of pools land on GPUs, what is beyond them is counted, and a ceiling is never exceeded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from kubernetes import client
from tests.e2e.stories import light
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

from folio_operator import cluster as kinds

GPU = "nvidia.com/gpu"
CEILING = 4
LANDED_SECONDS = 150


def pool(name: str, least: int = 0, most: int = 3, gpus: int = 1) -> light.Document:
    requests = {"cpu": "100m", "memory": "512Mi"}
    resources = {"requests": requests, "limits": {"memory": "2Gi", GPU: str(gpus)}}
    return {
        "name": name,
        "minWorkers": least,
        "maxWorkers": most,
        "resources": resources,
        "podTemplate": {"spec": {"terminationGracePeriodSeconds": 2}},
    }


@dataclass
class Gpus:
    """A portfolio with pools of GPUs, on a cluster that has some."""

    story: Story
    nodes: dict[str, int]
    """GPUs of each node that has any."""

    @property
    def total(self) -> int:
        return sum(self.nodes.values())

    def workers(self, name: str) -> list[dict[str, Any]]:
        return [each for each in self.story.pods("desk", f"pool-{name}") if not _is_leaving(each)]

    def running(self, name: str) -> list[dict[str, Any]]:
        return [each for each in self.workers(name) if each.get("status", {}).get("phase") == "Running"]

    def asked(self) -> int:
        """GPUs of all pods that are there to stay."""
        return sum(_gpus(each) for each in self.story.pods("desk") if not _is_leaving(each))

    def bounds(self) -> dict[str, int]:
        """GPUs that each pool of the live RayCluster may grow to."""
        (cluster,) = self.story.namespace.list(kinds.RAY_CLUSTER)
        groups = [each for each in cluster["spec"]["workerGroupSpecs"] if each["groupName"] != "gateway"]
        return {
            each["groupName"]: each["maxReplicas"] * _limit(each["template"]["spec"]["containers"])
            for each in groups
        }

    def counted(self) -> dict[str, int]:
        return dict(self.story.status("desk").get("gpus", {}))

    def apply(self, *pools: light.Document, **more: Any) -> None:
        self.story.apply(light.portfolio(pools=list(pools), **more))


@dataclass
class Watch:
    """The most GPUs that the portfolio could take, and did take, at any moment."""

    allowed: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)


@contextmanager
def watching(gpus: Gpus) -> Iterator[Watch]:
    seen, done = Watch(), threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.allowed.append(sum(gpus.bounds().values()))
            seen.taken.append(gpus.asked())
            time.sleep(0.1)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


@pytest.fixture(scope="module")
def gpus(story: Story) -> Gpus:
    nodes = client.CoreV1Api(story.namespace.api).list_node().items
    found = {each.metadata.name: int(each.status.allocatable.get(GPU, 0)) for each in nodes}
    found = {name: number for name, number in found.items() if number}
    if sum(found.values()) < CEILING:
        pytest.skip(f"the cluster's nodes offer fewer than {CEILING} {GPU}")
    pools = [pool("a", least=2), pool("b")]
    story.apply(light.everything(story.client.start_provider(), pools=pools, maxGPUs=CEILING))
    return Gpus(story, found)


def test_workers_land_on_gpus_and_are_counted(gpus: Gpus, figure: Callable[[str], None]):
    began = time.monotonic()
    wait_for("both workers run", lambda: len(gpus.running("a")) == 2, LANDED_SECONDS)
    figure(f"2 workers on GPUs {time.monotonic() - began:.1f} s after the apply")
    for each in gpus.running("a"):
        assert _gpus(each) == 1
        assert each["spec"]["nodeName"] in gpus.nodes
    assert gpus.workers("b") == []
    wait_for("they are counted", lambda: gpus.counted() == {"requested": 2, "allocated": 2}, 30)
    gpus.story.wait_ready("desk")


def test_no_edit_lets_the_pools_grow_beyond_the_ceiling(gpus: Gpus, figure: Callable[[str], None]):
    assert gpus.bounds() == {"a": 3, "b": 1}
    with watching(gpus) as seen:
        gpus.apply(pool("a"), pool("b", least=3), maxGPUs=CEILING)
        wait_for("b may have three", lambda: gpus.bounds() == {"a": 1, "b": 3}, 30)
        wait_for("b has three", lambda: len(gpus.running("b")) == 3, LANDED_SECONDS)
        gpus.apply(pool("a", least=1), pool("b", least=1), maxGPUs=CEILING - 1)
        wait_for("a has what b let go", lambda: gpus.bounds() == {"a": 2, "b": 1}, LANDED_SECONDS)
    figure(
        f"ceiling {CEILING}: pools could grow to {max(seen.allowed)} GPUs and asked for at most"
        f" {max(seen.taken)}, in {len(seen.taken)} looks during two edits"
    )
    assert max(seen.allowed) <= CEILING
    assert max(seen.taken) <= CEILING


def test_workers_that_always_run_above_the_ceiling_are_refused(gpus: Gpus):
    before = gpus.bounds()
    gpus.apply(pool("a", least=3), pool("b", least=3), maxGPUs=CEILING)
    gpus.story.wait_condition("desk", "Accepted", "False", reason="GPUCeilingTooLow", seconds=30)
    assert gpus.bounds() == before
    assert gpus.story.client.chat("desk", "my bicycle").says == "rental"


def test_what_no_node_has_is_unschedulable_with_the_count_that_is_missing(
    gpus: Gpus, figure: Callable[[str], None]
):
    story, wanted = gpus.story, gpus.total + 4
    vllm = {"source": {"uri": "hf://example/giant", "revision": "a" * 40}, "gpus": wanted}
    story.apply(light.resource("SpecialistModel", "giant", {"vllm": vllm}))
    entry = {"name": "giant", "pool": "huge", "updateStrategy": {"type": "Recreate"}}
    models = [{"name": "triage"}, {"name": "provider"}, entry]
    pools = (pool("a", least=1), pool("b", least=1), pool("huge", least=1, most=1, gpus=wanted))
    gpus.apply(*pools, models=models)

    def is_told() -> bool:
        found = story.model("desk", "giant")
        return found.get("reason") == "Unschedulable" and f"{wanted} GPUs are missing" in found["message"]

    began = time.monotonic()
    wait_for("the GPUs are missed", is_told, 60)
    figure(
        f"a worker of {wanted} GPUs where there are {gpus.total}: told after {time.monotonic() - began:.1f} s"
    )
    counted = gpus.counted()
    assert counted["requested"] - counted["allocated"] == wanted
    assert story.condition("desk", "ModelsReady") == ("False", "Unschedulable")
    assert story.client.chat("desk", "my bicycle").says == "rental"

    gpus.apply(*pools[:2])
    wait_for("its worker goes", lambda: gpus.workers("huge") == [], 60)
    story.wait_ready("desk", seconds=60)


def _is_leaving(pod: dict[str, Any]) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _gpus(pod: dict[str, Any]) -> int:
    return _limit(pod["spec"]["containers"])


def _limit(containers: list[dict[str, Any]]) -> int:
    return sum(int(each.get("resources", {}).get("limits", {}).get(GPU, 0)) for each in containers)

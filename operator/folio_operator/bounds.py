"""New bounds of worker groups on their way to the live RayCluster, which KubeRay never brings there itself.

A pool may grow only as far as the others have shrunk: their pods hold GPUs until they are gone, and the sum
never exceeds the ceiling. Pods that go ask for another pass, which lets the rest grow. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from folio_operator.children import ROLE_LABEL, Manifest
from folio_operator.cluster import Body, key_of
from folio_operator.groups import worker_gpus

CLUSTER_LABEL = "ray.io/cluster"
"""KubeRay's, on each pod."""
ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Bounds:
    """How few and how many workers a group may have."""

    least: int
    most: int

    @classmethod
    def of(cls, group: Mapping[str, Any]) -> Bounds:
        return cls(group.get("minReplicas", 0), group.get("maxReplicas", 0))

    def within(self, most: int) -> Bounds:
        return Bounds(min(self.least, most), min(self.most, most))


def workers(pods: Iterable[Body], ray_cluster: Body | None) -> Counter[str]:
    """Return how many pods each worker group of this cluster has, those on their way out included."""
    name = key_of(ray_cluster).name if ray_cluster is not None else ""
    labels = [
        each["metadata"].get("labels") or {}
        for each in pods
        if (each.get("status") or {}).get("phase") not in ENDED
    ]
    mine = (each for each in labels if each.get(CLUSTER_LABEL) == name)
    return Counter(str(each.get(ROLE_LABEL, "")).removeprefix("pool-") for each in mine)


def bounds_patch(
    wanted: Iterable[Manifest],
    live: Iterable[Mapping[str, Any]],
    present: Mapping[str, int],
    ceiling: int | None,
) -> list[Manifest]:
    """Return the JSON patch of the live groups; its tests refuse it if the groups have moved meanwhile."""
    groups = {group["groupName"]: group for group in wanted}
    running = list(live)
    allowed = _allowed(groups, running, present, ceiling)
    operations: list[Manifest] = []
    for index, group in enumerate(running):
        bounds = allowed.get(group["groupName"])
        if bounds is not None and bounds != Bounds.of(group):
            path = f"/spec/workerGroupSpecs/{index}"
            operations += [
                {"op": "test", "path": f"{path}/groupName", "value": group["groupName"]},
                {"op": "add", "path": f"{path}/minReplicas", "value": bounds.least},
                {"op": "add", "path": f"{path}/maxReplicas", "value": bounds.most},
            ]
    return operations


def _allowed(
    groups: Mapping[str, Manifest],
    live: Iterable[Mapping[str, Any]],
    present: Mapping[str, int],
    ceiling: int | None,
) -> dict[str, Bounds]:
    """Return the bounds that the live groups may have now."""
    before = {each["groupName"]: Bounds.of(each) for each in live if each["groupName"] in groups}
    wanted = {name: Bounds.of(groups[name]) for name in before}
    if ceiling is None:
        return wanted
    each_takes = {name: worker_gpus(groups[name]) for name in before}
    room = {name: max(min(wanted[name].most, before[name].most), present.get(name, 0)) for name in before}
    left = ceiling - sum(each_takes[name] * room[name] for name in before)
    for name, bounds in wanted.items():
        if each_takes[name] and bounds.most > room[name]:
            more = min(bounds.most - room[name], max(0, left) // each_takes[name])
            room[name] += more
            left -= more * each_takes[name]
    return {
        name: bounds.within(room[name]) if each_takes[name] else bounds for name, bounds in wanted.items()
    }

"""Pools that grow wait until those that shrink have let go of their GPUs."""

from __future__ import annotations

from typing import Any

import pytest

from folio_operator.bounds import Bounds, bounds_patch, workers

CEILING = 4


def group(name: str, least: int, most: int, gpus: int = 1) -> dict[str, Any]:
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    template = {"spec": {"containers": [{"resources": {"limits": limits}}]}}
    return {"groupName": name, "minReplicas": least, "maxReplicas": most, "template": template}


def patched(
    live: list[dict[str, Any]],
    wanted: list[dict[str, Any]],
    present: dict[str, int],
    ceiling: int | None = CEILING,
) -> dict[str, Bounds]:
    """Return the bounds after the patch, by group."""
    found = {each["groupName"]: Bounds.of(each) for each in live}
    names = list(found)
    for each in bounds_patch(wanted, live, present, ceiling):
        *_, index, field = each["path"].split("/")
        old = found[names[int(index)]]
        if field == "minReplicas":
            found[names[int(index)]] = Bounds(each["value"], old.most)
        elif field == "maxReplicas":
            found[names[int(index)]] = Bounds(old.least, each["value"])
        else:
            assert each == {"op": "test", "path": each["path"], "value": names[int(index)]}
    return found


SWAP = [group("a", 2, 3), group("b", 0, 1)], [group("a", 0, 1), group("b", 3, 3)]


@pytest.mark.parametrize(
    ("present", "grown"),
    [
        ({"a": 3, "b": 1}, Bounds(1, 1)),
        ({"a": 2, "b": 1}, Bounds(2, 2)),
        ({"a": 2}, Bounds(2, 2)),
        ({"a": 1, "b": 2}, Bounds(3, 3)),
        ({}, Bounds(3, 3)),
    ],
)
def test_a_pool_grows_as_far_as_the_other_has_let_go(present: dict[str, int], grown: Bounds):
    live, wanted = SWAP
    assert patched(live, wanted, present) == {"a": Bounds(0, 1), "b": grown}


def test_without_a_ceiling_all_bounds_are_brought_at_once():
    live, wanted = SWAP
    assert patched(live, wanted, {"a": 3}, None) == {"a": Bounds(0, 1), "b": Bounds(3, 3)}


def test_a_pool_without_gpus_waits_for_nobody():
    live = [group("a", 0, 3), group("cpu", 0, 1, gpus=0)]
    wanted = [group("a", 0, 3), group("cpu", 4, 9, gpus=0)]
    assert patched(live, wanted, {"a": 4})["cpu"] == Bounds(4, 9)


def test_a_pool_of_large_workers_waits_until_a_whole_one_fits():
    live, wanted = [group("a", 0, 4), group("b", 0, 0, 4)], [group("a", 0, 0), group("b", 1, 1, 4)]
    assert patched(live, wanted, {"a": 1})["b"] == Bounds(0, 0)
    assert patched(live, wanted, {})["b"] == Bounds(1, 1)


def test_what_is_so_already_is_not_patched():
    live, _ = SWAP
    assert bounds_patch(live, live, {"a": 2}, CEILING) == []


def test_pods_count_until_they_have_ended_and_those_of_another_cluster_do_not():
    def pod(role: str, cluster: str = "desk-x", phase: str = "Running") -> dict[str, Any]:
        labels = {"folio.dev/role": role, "ray.io/cluster": cluster}
        metadata = {"name": "p", "labels": labels, "deletionTimestamp": "2026-01-01T00:00:00Z"}
        return {"metadata": metadata, "status": {"phase": phase}}

    pods = [pod("pool-a"), pod("gateway"), pod("pool-a", "desk-y"), pod("pool-b", phase="Failed")]
    found = workers(pods, {"metadata": {"name": "desk-x", "namespace": "bank"}})
    assert found == {"a": 1, "gateway": 1}

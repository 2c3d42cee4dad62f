"""Worker groups of a running cluster: order, counts, pools that go and come back; and what needs another cluster."""

from __future__ import annotations

from typing import Any

from tests.unit.operator.desk import PORTFOLIO, desk
from tests.unit.operator.shell import DESK, Shell

from folio_api.meta import Key
from folio_operator import cluster as kinds
from folio_operator.children import ROTATE
from folio_operator.desired import desired
from folio_operator.plan import PLANNED, plan

H100: dict[str, Any] = {"name": "h100", "maxWorkers": 2, "resources": {"limits": {"nvidia.com/gpu": 1, "cpu": "8", "memory": "32Gi"}}, "pricePerHour": "3", "watts": 400}  # fmt: skip
TWO = {PORTFOLIO: {"pools.1": H100, "maxGPUs": 10}}
BIGGER = {**H100, "resources": {"limits": {"nvidia.com/gpu": 1, "cpu": "16", "memory": "64Gi"}}}


def groups(shell: Shell) -> list[dict[str, Any]]:
    return list(shell.service()["spec"]["rayClusterConfig"]["workerGroupSpecs"])


def names(shell: Shell) -> list[str]:
    return [each["groupName"] for each in groups(shell)]


def bounds(shell: Shell, name: str) -> tuple[int, int, int]:
    found = next(each for each in groups(shell) if each["groupName"] == name)
    return (found["replicas"], found["minReplicas"], found["maxReplicas"])


def kuberay_follows(shell: Shell) -> None:
    """KubeRay has brought the groups of the RayService to the live cluster, with defaults of the API server."""
    written = groups(shell)
    for group in written:
        for container in group["template"]["spec"]["containers"]:
            for port in container.get("ports", ()):
                port["protocol"] = "TCP"
    shell.cluster.edit(kinds.RAY_SERVICE, DESK, "spec.rayClusterConfig.workerGroupSpecs", written)
    shell.cluster.edit(kinds.RAY_CLUSTER, Key("bank", "desk-x"), "spec.workerGroupSpecs", written)


async def with_two_pools(shell: Shell) -> None:
    shell.write(TWO)
    await shell.pass_over()
    kuberay_follows(shell)
    await shell.pass_over()


async def test_a_removed_pool_is_drained_in_place_and_kept(settled: Shell):
    await with_two_pools(settled)
    assert names(settled) == ["gateway", "l4", "h100"]
    settled.write()
    await settled.pass_over()

    assert settled.condition("Stalled") == ("", "")
    assert names(settled) == ["gateway", "l4", "h100"]
    assert bounds(settled, "h100") == (0, 0, 0)
    live = settled.cluster.one(kinds.RAY_CLUSTER, "desk-x")["spec"]["workerGroupSpecs"][2]
    assert (live["minReplicas"], live["maxReplicas"]) == (0, 0)


async def test_a_removed_pool_that_comes_back_as_it_was_is_filled_again_in_place(settled: Shell):
    await with_two_pools(settled)
    settled.write()
    await settled.pass_over()
    settled.write(TWO)
    await settled.pass_over()

    assert settled.condition("Stalled") == ("", "")
    assert bounds(settled, "h100") == (0, 0, 2)


async def test_a_removed_pool_that_comes_back_with_other_pods_waits_for_approval(settled: Shell):
    await with_two_pools(settled)
    settled.write()
    await settled.pass_over()
    settled.write({PORTFOLIO: {"pools.1": BIGGER}})
    await settled.pass_over()

    assert settled.condition("Stalled") == ("True", "ApprovalRequired")
    plan_status = settled.cluster.one(kinds.PORTFOLIO, "desk")["status"]["plan"]
    assert "pool h100: comes back with other pods" in plan_status["message"]
    assert bounds(settled, "h100") == (0, 0, 0)


async def test_a_new_cluster_begins_without_pools_that_were_removed(settled: Shell):
    await with_two_pools(settled)
    settled.write()
    await settled.pass_over()
    edit = {"ray.image": "registry/folio:2"}
    settled.write({PORTFOLIO: edit})
    await settled.pass_over()
    assert settled.condition("Stalled") == ("True", "ApprovalRequired")
    assert names(settled) == ["gateway", "l4", "h100"]

    approved = settled.cluster.one(kinds.PORTFOLIO, "desk")["status"]["plan"]["id"]
    settled.write(
        {PORTFOLIO: {**edit, "rollout.newCluster": {"strategy": "BlueGreen", "approvedPlan": approved}}}
    )
    await settled.pass_over()
    assert names(settled) == ["gateway", "l4"]
    settled.cluster.writes.clear()
    await settled.pass_over()
    assert names(settled) == ["gateway", "l4"]
    assert "apply RayService/desk" not in settled.cluster.writes


async def test_the_live_order_stays_whatever_the_order_in_git(settled: Shell):
    await with_two_pools(settled)
    first = next(iter(settled.cluster.one(kinds.PORTFOLIO, "desk")["spec"]["pools"]))
    settled.write({PORTFOLIO: {"pools": [H100, first]}})
    await settled.pass_over()

    assert names(settled) == ["gateway", "l4", "h100"]
    assert settled.condition("Stalled") == ("", "")


async def test_the_operators_plan_has_the_id_that_the_command_prints(settled: Shell):
    edit = {PORTFOLIO: {"ray.image": "registry/folio:2"}}
    settled.write(edit)
    await settled.pass_over()

    printed = plan(desired(desk(edit), PLANNED), desired(desk(), PLANNED))
    assert settled.cluster.one(kinds.PORTFOLIO, "desk")["status"]["plan"]["id"] == printed.id


async def test_rays_token_is_another_one_once_the_new_cluster_that_it_needs_is_approved(settled: Shell):
    before = settled.secret("desk-ray-auth")["auth_token"]
    settled.cluster.edit(kinds.PORTFOLIO, DESK, "metadata.annotations", {ROTATE: "2026-06"})
    await settled.pass_over()
    assert settled.condition("Stalled") == ("True", "ApprovalRequired")
    assert settled.secret("desk-ray-auth")["auth_token"] == before

    approved = settled.cluster.one(kinds.PORTFOLIO, "desk")["status"]["plan"]["id"]
    strategy = {"strategy": "BlueGreen", "approvedPlan": approved}
    settled.cluster.edit(kinds.PORTFOLIO, DESK, "spec.rollout", {"newCluster": strategy})
    settled.cluster.edit(kinds.PORTFOLIO, DESK, "metadata.generation", 2)
    await settled.pass_over()
    after = settled.secret("desk-ray-auth")["auth_token"]
    assert after != before
    head = settled.service()["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]
    assert head["metadata"]["annotations"] == {ROTATE: "2026-06"}
    assert settled.service()["spec"]["rayClusterConfig"]["authOptions"]["secretName"] == "desk-ray-auth"

    settled.start()
    await settled.pass_over()
    assert settled.secret("desk-ray-auth")["auth_token"] == after

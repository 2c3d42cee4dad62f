"""An upgrade of the operator re-rolls nothing; what it would change is offered, and waits for approval."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.unit.operator.desk import GENERAL, POLICY, PORTFOLIO, Edits, desk
from tests.unit.operator.shell import DESK, GHOST, Shell

from folio_operator import cluster as kinds
from folio_operator.children import Installation
from folio_operator.desired import desired
from folio_operator.plan import PLANNED, plan
from folio_operator.serve_config import GATEWAY

OLD = Installation()
NEXT = Installation(serving_image="folio/serving:0.2.0", ray_version="2.61.0")
DEADLINE: Edits = {POLICY: {"limits.deadline": "20s"}}
BIGGER_HEAD: Edits = {PORTFOLIO: {"ray.head": {"resources": {"requests": {"cpu": "2", "memory": "6Gi"}}}}}
H100: dict[str, Any] = {"name": "h100", "maxWorkers": 2, "resources": {"limits": {"nvidia.com/gpu": 1, "cpu": "8", "memory": "32Gi"}}, "pricePerHour": "3", "watts": 400}  # fmt: skip


def cluster_of(shell: Shell) -> dict[str, Any]:
    return dict(shell.service()["spec"]["rayClusterConfig"])


def images(shell: Shell) -> list[str]:
    spec = cluster_of(shell)
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    return [each["template"]["spec"]["containers"][0]["image"] for each in groups]


def offer(shell: Shell) -> dict[str, Any] | None:
    found: dict[str, Any] = shell.cluster.one(kinds.PORTFOLIO, "desk")["status"]
    return found.get("plan")


def approving(plan_id: str, edits: Edits | None = None) -> Edits:
    rollout = {"newCluster": {"strategy": "BlueGreen", "approvedPlan": plan_id}}
    given = dict(edits or {})
    return {**given, PORTFOLIO: {**given.get(PORTFOLIO, {}), "rollout": rollout}}


def arguments(shell: Shell, name: str) -> dict[str, Any]:
    (found,) = [each for each in shell.serve_config()["applications"] if each["name"] == name]
    return dict(found["args"])


def rendered_by_another_version(shell: Shell) -> None:
    """As if an older renderer had given models an argument, and gateways an option, that this one does not, and had
    let gateways stand anywhere.
    """
    config = shell.serve_config()
    for each in config["applications"]:
        each["args"]["old"] = True
        each["deployments"][0]["old_option"] = 1
        each["deployments"][0].pop("max_replicas_per_node", None)
    service = shell.service()
    notes = {**service["metadata"]["annotations"], "folio.dev/renderer": "0"}
    shell.cluster.edit(kinds.RAY_SERVICE, DESK, "metadata.annotations", notes)
    shell.cluster.edit(kinds.RAY_SERVICE, DESK, "spec.serveConfigV2", yaml.safe_dump(config))


@pytest.fixture
async def upgraded(settled: Shell) -> Shell:
    """The chart came with another image and another Ray."""
    settled.upgrade(NEXT)
    await settled.pass_over()
    return settled


async def test_an_upgrade_writes_nothing_but_what_it_offers(upgraded: Shell):
    assert upgraded.cluster.writes == ["apply ModelPortfolio/desk/status"]
    found = offer(upgraded)
    assert found is not None
    assert found["effect"] == "NewCluster"
    assert f"{OLD.serving_image} with Ray 2.60.0 -> folio/serving:0.2.0 with Ray 2.61.0" in found["message"]
    for kind in ("Accepted", "Programmed", "ModelsReady", "Ready"):
        assert upgraded.condition(kind)[0] == "True"
    assert upgraded.condition("Stalled") == ("", "")

    upgraded.cluster.writes.clear()
    await upgraded.pass_over()
    assert upgraded.cluster.writes == []


@pytest.mark.parametrize("edit", [DEADLINE, {GENERAL: {"vllm.engineArgs.max_model_len": 4096}}])
async def test_an_edit_in_place_stays_in_place_on_the_old_image(upgraded: Shell, edit: Edits):
    before, config = cluster_of(upgraded), upgraded.serve_config()
    upgraded.write(edit)
    await upgraded.pass_over()

    assert upgraded.serve_config() != config
    assert cluster_of(upgraded) == before
    assert upgraded.condition("Stalled") == ("", "")
    assert offer(upgraded) is not None


async def test_drift_is_repaired_to_what_was_rendered(upgraded: Shell):
    before = upgraded.service()["spec"]
    path = "spec.rayClusterConfig.headGroupSpec.template.spec.containers.0.image"
    upgraded.cluster.edit(kinds.RAY_SERVICE, DESK, path, "somebody/else:1")
    upgraded.cluster.edit(
        kinds.RAY_SERVICE, DESK, "spec.rayClusterConfig.workerGroupSpecs", [cluster_of(upgraded)["workerGroupSpecs"][0]]
    )  # fmt: skip
    upgraded.cluster.edit(kinds.RAY_SERVICE, DESK, "spec.serveConfigV2", "applications: []")
    await upgraded.pass_over()
    upgraded.everything_runs()
    await upgraded.pass_over()

    assert upgraded.service()["spec"] == before


async def test_a_model_that_serve_gave_up_on_is_tried_again(upgraded: Shell):
    upgraded.serve_runs(GATEWAY, triage="RuntimeError: no file yet")
    await upgraded.pass_over()
    upgraded.clock.seconds += 31
    await upgraded.pass_over()

    assert arguments(upgraded, "model-triage")["nonce"] == "1"


async def test_a_pool_that_is_added_joins_the_old_cluster(upgraded: Shell):
    upgraded.write({PORTFOLIO: {"pools.1": H100, "maxGPUs": 10}})
    await upgraded.pass_over()

    assert images(upgraded) == [OLD.serving_image] * 4
    assert cluster_of(upgraded)["rayVersion"] == "2.60.0"


async def test_the_approval_brings_the_new_image_and_is_used_up(upgraded: Shell):
    found = offer(upgraded)
    assert found is not None
    upgraded.write(approving(found["id"]))
    await upgraded.pass_over()

    assert set(images(upgraded)) == {"folio/serving:0.2.0"}
    assert cluster_of(upgraded)["rayVersion"] == "2.61.0"
    assert offer(upgraded) is None
    upgraded.cluster.writes.clear()
    await upgraded.pass_over()
    assert "apply RayService/desk" not in upgraded.cluster.writes

    upgraded.upgrade(Installation(serving_image="folio/serving:0.3.0", ray_version="2.61.0"))
    await upgraded.pass_over()
    assert set(images(upgraded)) == {"folio/serving:0.2.0"}
    later = offer(upgraded)
    assert later is not None
    assert later["id"] != found["id"]


async def test_an_upgrade_that_is_taken_back_offers_nothing(upgraded: Shell):
    upgraded.upgrade(Installation())
    await upgraded.pass_over()

    assert offer(upgraded) is None


async def test_a_portfolio_that_names_image_and_ray_is_offered_nothing(shell: Shell):
    shell.write({PORTFOLIO: {"ray.image": "mine/serving:1", "ray.version": "2.60.0"}})
    await shell.settle_running()
    shell.upgrade(NEXT)
    await shell.pass_over()

    assert shell.cluster.writes == []


async def test_an_edit_that_needs_a_new_cluster_waits_under_the_id_that_the_command_prints(upgraded: Shell):
    before = cluster_of(upgraded)
    upgraded.write(BIGGER_HEAD)
    await upgraded.pass_over()

    assert upgraded.condition("Stalled") == ("True", "ApprovalRequired")
    assert cluster_of(upgraded) == before
    waiting = offer(upgraded)
    assert waiting is not None
    assert waiting["id"] == plan(desired(desk(BIGGER_HEAD), PLANNED), desired(desk(), PLANNED)).id
    assert "folio/serving:0.2.0" in waiting["message"]

    upgraded.write(approving(waiting["id"], BIGGER_HEAD))
    await upgraded.pass_over()
    assert set(images(upgraded)) == {"folio/serving:0.2.0"}
    assert offer(upgraded) is None


async def test_an_invalid_edit_after_an_upgrade_keeps_the_last_good_on_its_image(upgraded: Shell):
    before = upgraded.service()["spec"]
    upgraded.write(GHOST)
    await upgraded.pass_over()

    assert upgraded.service()["spec"] == before


async def test_without_the_note_of_what_was_rendered_the_live_object_tells(settled: Shell):
    notes = settled.service()["metadata"]["annotations"]
    kept = {name: text for name, text in notes.items() if name != "folio.dev/cluster"}
    settled.cluster.edit(kinds.RAY_SERVICE, DESK, "metadata.annotations", kept)
    settled.upgrade(NEXT)
    settled.write(DEADLINE)
    await settled.pass_over()

    assert set(images(settled)) == {OLD.serving_image}
    assert "folio.dev/cluster" in settled.service()["metadata"]["annotations"]


async def test_another_renderer_restarts_no_model_that_the_edit_leaves_alone(settled: Shell):
    rendered_by_another_version(settled)
    settled.write(DEADLINE)
    await settled.pass_over()

    assert all(arguments(settled, each["name"])["old"] for each in settled.serve_config()["applications"])
    gateway = settled.serve_config()["applications"][0]["deployments"][0]
    assert gateway["old_option"] == 1
    assert "max_replicas_per_node" not in gateway
    assert settled.tables()["active"]["limits"]["deadline_seconds"] == 20
    assert settled.service()["metadata"]["annotations"]["folio.dev/renderer"] == "0"

    settled.write({**DEADLINE, GENERAL: {"vllm.engineArgs.max_model_len": 4096}})
    await settled.pass_over()
    general = arguments(settled, "model-general")
    assert (general["old"], general["engine_args"]["max_model_len"]) == (True, 4096)
    settled.cluster.writes.clear()
    await settled.pass_over()
    assert "apply RayService/desk" not in settled.cluster.writes


async def test_another_renderer_tries_a_failed_model_again_and_nothing_else(settled: Shell):
    rendered_by_another_version(settled)
    settled.serve_runs(GATEWAY, triage="RuntimeError: no file yet")
    await settled.pass_over()
    settled.clock.seconds += 31
    await settled.pass_over()

    triage = arguments(settled, "model-triage")
    triage = arguments(settled, "model-triage")
    assert (triage["nonce"], triage["old"]) == ("1", True)
    assert arguments(settled, "model-minilm")["nonce"] == ""

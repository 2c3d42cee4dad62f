"""What keeps pods from running is told on the portfolio and on the model, with what puts it right, and goes with its cause."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.shell import DESK, Shell

from folio_api.meta import Key
from folio_operator import cluster as kinds

NO_NODE = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu"


def pod(
    shell: Shell, name: str, role: str, status: dict[str, Any], *, gpus: int = 0, **metadata: Any
) -> None:
    """A pod of the portfolio as the watch shows it."""
    resources = {"limits": {"memory": "32Gi", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}}
    labels = {**shell.service()["metadata"]["labels"], "folio.dev/role": role}
    node = {"nodeName": "node1"} if "PodScheduled" not in str(status) else {}
    shell.cluster.add(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "bank", "labels": labels, **metadata},
            "spec": {**node, "containers": [{"name": "ray-worker", "resources": resources, "image": "x"}]},
            "status": status,
        }
    )
    shell.wiring.event(kinds.POD, "MODIFIED", shell.cluster.one(kinds.POD, name))


def unschedulable(why: str = NO_NODE) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
    return {"phase": "Pending", "conditions": [condition]}


def container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "phase": "Running",
        "containerStatuses": [{"name": "ray-worker", "image": "x", "state": state, **more}],
    }


def general(shell: Shell) -> dict[str, Any]:
    models = shell.cluster.one(kinds.PORTFOLIO, "desk")["status"]["models"]
    return next(each for each in models if each["name"] == "general")


async def loading(shell: Shell) -> None:
    shell.gateway_says(shell.wanted_revision(), general="Loading")
    await shell.pass_over()


async def test_gpus_that_no_node_has_are_counted_on_the_model_and_the_portfolio(settled: Shell):
    pod(settled, "a", "pool-l4", unschedulable(), gpus=4)
    pod(settled, "b", "pool-l4", unschedulable(), gpus=4)
    pod(settled, "c", "pool-l4", container({"running": {}}), gpus=4)
    await loading(settled)

    assert general(settled)["reason"] == "Unschedulable"
    assert "2 pods of pool l4 find no node, 8 GPUs are missing" in general(settled)["message"]
    assert NO_NODE in general(settled)["message"]
    assert settled.condition("ModelsReady") == ("False", "Unschedulable")
    assert settled.condition("Reconciling") == ("True", "Unschedulable")
    assert settled.cluster.one(kinds.PORTFOLIO, "desk")["status"]["gpus"] == {"requested": 12, "allocated": 4}


async def test_it_goes_when_its_cause_does(settled: Shell):
    pod(settled, "a", "pool-l4", unschedulable(), gpus=1)
    await loading(settled)
    pod(settled, "a", "pool-l4", container({"running": {}}), gpus=1)
    await settled.pass_over()
    assert general(settled)["state"] == "Loading"
    assert settled.condition("ModelsReady") == ("False", "Loading")

    settled.gateway_says(settled.wanted_revision())
    await settled.pass_over()
    assert settled.condition("ModelsReady") == ("True", "AllReady")


async def test_a_model_that_answers_is_not_blamed_for_a_pool_that_would_grow(settled: Shell):
    pod(settled, "a", "pool-l4", unschedulable(), gpus=1)
    await settled.pass_over()

    assert general(settled)["state"] == "Ready"
    assert settled.condition("ModelsReady") == ("True", "AllReady")
    assert settled.cluster.one(kinds.PORTFOLIO, "desk")["status"]["gpus"] == {"requested": 1, "allocated": 0}


@pytest.mark.parametrize(
    ("state", "last", "reason", "told"),
    [
        ({"waiting": {"reason": "ErrImagePull", "message": "not found"}}, {}, "ImagePullBackOff", "correct spec.ray.image"),
        ({"waiting": {"reason": "ImagePullBackOff", "message": "back-off"}}, {}, "ImagePullBackOff", "imagePullSecrets"),
        ({"waiting": {"reason": "CreateContainerConfigError", "message": "no key"}}, {}, "CreateContainerConfigError", "no key"),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, {"terminated": {"exitCode": 3}}, "CrashLoop", "ended with 3"),
        (
            {"waiting": {"reason": "CrashLoopBackOff"}},
            {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            "OOMKilled",
            "memory limit of 32Gi: raise resources.limits.memory",
        ),
    ],
)  # fmt: skip
async def test_what_the_kubelet_waits_for_is_told_with_the_fix(
    settled: Shell, state: dict[str, Any], last: dict[str, Any], reason: str, told: str
):
    pod(settled, "a", "pool-l4", container(state, lastState=last))
    await loading(settled)

    assert general(settled)["reason"] == reason
    assert told in general(settled)["message"]


@pytest.mark.parametrize(
    "why",
    [
        '0/2 nodes are available: persistentvolumeclaim "models" not found',
        "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims",
    ],
)
async def test_a_claim_that_is_missing_is_no_want_of_nodes(settled: Shell, why: str):
    pod(settled, "a", "pool-l4", unschedulable(why))
    await loading(settled)

    assert general(settled)["reason"] == "Unschedulable"
    assert f"{why}; make the PersistentVolumeClaim in this namespace" in general(settled)["message"]
    assert "add nodes" not in general(settled)["message"]


async def test_a_head_that_does_not_come_up_explains_why_no_gateway_answers(shell: Shell):
    shell.write()
    await shell.pass_over()
    pod(shell, "head", "head", unschedulable())
    await shell.pass_over()

    for kind in ("GatewayReady", "Ready", "Programmed"):
        assert shell.condition(kind)[1] == "Unschedulable"
    assert "a pod of the head finds no node" in shell.message("Ready")


async def test_a_head_that_runs_and_is_never_ready_is_told_after_a_while(shell: Shell):
    shell.write()
    await shell.pass_over()
    pod(shell, "head", "head", container({"running": {}}), creationTimestamp="2026-01-01T00:16:40Z")
    shell.cluster.edit(kinds.RAY_SERVICE, DESK, "status.observedGeneration", 1)
    await shell.pass_over()
    assert shell.condition("Programmed")[1] == "GatewayUnseen"

    shell.clock.seconds += 181
    await shell.pass_over()
    assert shell.condition("Programmed")[1] == "HeadNotStarting"


async def test_pods_that_the_api_server_refuses_are_told_from_the_ray_cluster(settled: Shell):
    settled.gateways.answer = None
    quota = {"type": "ReplicaFailure", "status": "True", "message": "pods is forbidden: exceeded quota"}
    settled.cluster.edit(kinds.RAY_CLUSTER, Key("bank", "desk-x"), "status", {"conditions": [quota]})
    await settled.pass_over()

    assert settled.condition("Ready") == ("False", "PodsRefused")
    assert "exceeded quota" in settled.message("Ready")


async def test_a_pod_that_died_and_was_removed_is_told_for_two_minutes(settled: Shell):
    killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    pod(settled, "a", "pool-l4", {**container(killed), "phase": "Failed"}, gpus=1)
    settled.cluster.remove(kinds.POD, Key("bank", "a"))
    await loading(settled)
    assert general(settled)["reason"] == "OOMKilled"

    settled.clock.seconds += 121
    await settled.pass_over()
    assert general(settled).get("reason") != "OOMKilled"


async def test_a_pod_that_was_told_to_end_did_not_die(settled: Shell):
    ended = {"terminated": {"exitCode": 143, "reason": "Error"}}
    pod(settled, "a", "pool-l4", container(ended), deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x"])
    await loading(settled)

    assert general(settled).get("reason") != "CrashLoop"


async def test_the_gateways_own_failure_is_told_before_there_is_an_active_cluster(shell: Shell):
    shell.write()
    await shell.pass_over()
    failed = {
        "gateway": {"status": "DEPLOY_FAILED", "message": "Traceback:\n  File x\nImportError: no orjson"}
    }
    status = {"observedGeneration": 1, "pendingServiceStatus": {"applicationStatuses": failed}}
    shell.cluster.edit(kinds.RAY_SERVICE, DESK, "status", status)
    await shell.pass_over()

    assert shell.condition("Ready") == ("False", "GatewayFailed")
    assert "ImportError: no orjson" in shell.message("Ready")


async def test_serves_cause_is_taken_from_the_deployment_where_it_has_one(settled: Shell):
    settled.serve_runs(*[each["name"] for each in settled.serve_config()["applications"]])
    why = "Traceback:\n  File x\nFileNotFoundError: /volumes/models/triage"
    applications = dict(settled.service()["status"]["activeServiceStatus"]["applicationStatuses"])
    applications["model-triage"] = {
        "status": "DEPLOY_FAILED",
        "message": "Failed to update the deployments",
        "serveDeploymentStatuses": {"Model": {"status": "UNHEALTHY", "message": why}},
    }
    settled.cluster.edit(
        kinds.RAY_SERVICE, DESK, "status.activeServiceStatus.applicationStatuses", applications
    )
    await settled.pass_over()

    models = settled.cluster.one(kinds.PORTFOLIO, "desk")["status"]["models"]
    triage = next(each for each in models if each["name"] == "triage")
    assert (triage["state"], triage["message"]) == ("Failed", "FileNotFoundError: /volumes/models/triage")


async def test_a_model_past_its_startup_timeout_is_failed_until_it_answers(settled: Shell):
    settled.gateway_says(settled.wanted_revision(), general="Loading")
    answer = settled.gateways.answer
    late = [each.model_copy(update={"waiting_seconds": {"general": 1201.0}}) for each in answer.replicas]
    settled.gateways.answer = answer.model_copy(update={"replicas": tuple(late)})
    await settled.pass_over()
    assert (general(settled)["state"], general(settled)["reason"]) == ("Failed", "StartupTimeout")
    assert settled.condition("ModelsReady") == ("False", "Degraded")
    assert settled.condition("Ready") == ("True", "Answering")
    await settled.pass_over()
    assert general(settled)["state"] == "Failed"

    settled.gateway_says(settled.wanted_revision())
    await settled.pass_over()
    assert general(settled)["state"] == "Ready"


async def test_an_image_of_a_pod_is_not_kept_in_memory(settled: Shell):
    pod(settled, "a", "pool-l4", container({"running": {}}), managedFields=[{"manager": "kubelet"}])

    (held,) = settled.store.children(DESK, (kinds.POD,))
    assert "managedFields" not in held["metadata"]
    assert set(held["spec"]["containers"][0]) == {"name", "resources"}

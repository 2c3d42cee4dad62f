"""What a pass does about models and pools that run: tries again, bounds, edits and moves."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tests.unit.operator.desk import GENERAL, POLICY, PORTFOLIO, REMOVED
from tests.unit.operator.shell import DESK, Shell

from folio_api.meta import Key
from folio_operator import cluster as kinds
from folio_operator import gather


async def test_a_model_that_serve_gave_up_on_is_tried_again_by_a_nonce(settled: Shell):
    settled.serve_runs("gateway", triage="RuntimeError: no file yet")
    await settled.pass_over()
    assert settled.cluster.writes.count("apply RayService/desk") == 0

    settled.clock.seconds += 31
    await settled.pass_over()
    assert _nonce(settled) == "1"
    settled.cluster.writes.clear()
    await settled.pass_over()
    assert "apply RayService/desk" not in settled.cluster.writes


async def test_a_failure_of_which_nothing_is_said_any_more_is_not_looked_at_at_once(settled: Shell):
    """KubeRay tells no applications of a cluster that lost its head, or beside one that comes up."""
    rest = _others(settled)
    settled.serve_runs(*rest, triage="RuntimeError: no file yet")
    await settled.pass_over()
    settled.cluster.edit(kinds.RAY_SERVICE, DESK, "status.activeServiceStatus.applicationStatuses", {})
    settled.clock.seconds += 31
    after = await settled.pass_over()

    assert after is None or after >= 0.4


async def test_what_failed_under_a_name_that_is_gone_is_forgotten(settled: Shell):
    rest = _others(settled)
    settled.serve_runs(*rest, triage="RuntimeError: no file yet")
    await settled.pass_over()
    settled.serve_runs(*rest)
    settled.clock.seconds += 31
    after = await settled.pass_over()

    assert after is None or after >= 0.4


async def test_a_model_that_fails_in_the_cluster_that_comes_up_is_told_and_tried_again(settled: Shell):
    failed = {"status": "DEPLOY_FAILED", "message": "RuntimeError: no file yet"}
    coming = {"rayClusterName": "desk-y", "applicationStatuses": {"model-triage": failed}}
    settled.cluster.edit(kinds.RAY_SERVICE, DESK, "status.activeServiceStatus.applicationStatuses", {})
    settled.cluster.edit(kinds.RAY_SERVICE, DESK, "status.pendingServiceStatus", coming)
    await settled.pass_over()

    assert settled.condition("Ready") == ("True", "Answering")
    assert settled.condition("ModelsReady") == ("True", "AllReady")
    assert settled.condition("Stalled") == ("True", "NewClusterFailed")
    assert "model-triage: RuntimeError: no file yet" in settled.message("Programmed")

    settled.clock.seconds += 31
    await settled.pass_over()
    assert _nonce(settled) == "1"
    settled.cluster.writes.clear()
    await settled.pass_over()
    assert "apply RayService/desk" not in settled.cluster.writes


@pytest.mark.parametrize(("replicas", "nonce"), [(1, ""), (0, "1")])
async def test_an_unhealthy_model_with_replicas_is_left_to_serve(settled: Shell, replicas: int, nonce: str):
    unhealthy = {"status": "UNHEALTHY", "message": "a replica's health check failed"}
    statuses = settled.service()["status"]["activeServiceStatus"]["applicationStatuses"]
    told = {**statuses, "model-triage": unhealthy}
    settled.cluster.edit(kinds.RAY_SERVICE, DESK, "status.activeServiceStatus.applicationStatuses", told)
    said = settled.gateways.answer
    assert said is not None
    models = [
        each.model_copy(update={"replicas": replicas} if each.name == "triage" else {})
        for each in said.models
    ]
    settled.gateways.answer = said.model_copy(update={"models": tuple(models)})
    await settled.pass_over()
    settled.clock.seconds += 31
    await settled.pass_over()
    assert _nonce(settled) == nonce


async def test_a_model_that_is_tried_again_tells_its_last_failure_even_by_another_operator(settled: Shell):
    names = [each["name"] for each in settled.serve_config()["applications"]]
    settled.serve_runs(*names, triage="RuntimeError: no file yet")
    settled.gateway_says(settled.wanted_revision(), triage="Pending")
    await settled.pass_over()
    assert _triage(settled) == ("Failed", "DeployFailed", "RuntimeError: no file yet")

    settled.start()
    settled.serve_deploys("model-triage", among=names)
    await settled.pass_over()
    assert _triage(settled) == (
        "Loading",
        "Retrying",
        "tried again; last failure: RuntimeError: no file yet",
    )

    settled.start()
    await settled.pass_over()
    assert _triage(settled)[2] == "tried again; last failure: RuntimeError: no file yet"

    settled.everything_runs()
    await settled.pass_over()
    assert _triage(settled) == ("Ready", "", "")


def _nonce(shell: Shell) -> str:
    """Return how often triage was made to try again, as Serve was last asked."""
    (triage,) = [each for each in shell.serve_config()["applications"] if each["name"] == "model-triage"]
    return str(triage["args"]["nonce"])


def _others(shell: Shell) -> list[str]:
    names = [each["name"] for each in shell.serve_config()["applications"]]
    return [each for each in names if each != "model-triage"]


def _triage(shell: Shell) -> tuple[str, str, str]:
    models = shell.cluster.one(kinds.PORTFOLIO, "desk")["status"]["models"]
    found = next(each for each in models if each["name"] == "triage")
    return found["state"], found.get("reason", ""), found.get("message", "")


async def test_new_bounds_of_a_pool_reach_the_live_cluster(settled: Shell):
    settled.write({PORTFOLIO: {"pools.0.maxWorkers": 4, "maxGPUs": REMOVED}})
    await settled.pass_over()

    (pool,) = [g for g in settled.cluster.one(kinds.RAY_CLUSTER, "desk-x")["spec"]["workerGroupSpecs"] if g["groupName"] == "l4"]  # fmt: skip
    assert pool["maxReplicas"] == 4
    assert "patch RayCluster/desk-x" in settled.cluster.writes


async def test_the_autoscalers_counts_are_not_drift_and_are_kept_by_the_next_write(settled: Shell):
    settled.cluster.edit(kinds.RAY_CLUSTER, Key("bank", "desk-x"), "spec.workerGroupSpecs.1.replicas", 3)
    await settled.pass_over()
    assert settled.cluster.writes == []

    settled.write({POLICY: {"limits.deadline": "20s"}})
    await settled.pass_over()
    assert settled.service()["spec"]["rayClusterConfig"]["workerGroupSpecs"][1]["replicas"] == 3


async def test_a_model_edit_restarts_that_model_alone(settled: Shell):
    before = {each["name"]: each for each in settled.serve_config()["applications"]}
    settled.write({GENERAL: {"vllm.engineArgs.max_model_len": 4096}})
    await settled.pass_over()

    after = {each["name"]: each for each in settled.serve_config()["applications"]}
    assert [name for name in after if after[name].get("args") != before[name].get("args")] == [
        "model-general"
    ]


async def test_a_blue_green_model_moves_once_its_next_version_answers(shell: Shell):
    blue_green = {PORTFOLIO: {"models.0.updateStrategy": {"type": "BlueGreen"}}}
    shell.write(blue_green)
    await shell.settle_running()
    (old,) = moved_applications(shell)
    shell.write({**blue_green, GENERAL: {"vllm.engineArgs.max_model_len": 4096}})

    await shell.pass_over()
    new, still = moved_applications(shell)
    assert still == old
    candidate = shell.tables()["candidate"]["revision"]
    shell.serve_runs(*(each["name"] for each in shell.serve_config()["applications"] if each["name"] != new))
    shell.gateway_says(shell.wanted_revision(), candidate, general="Loading")
    await shell.pass_over()
    assert shell.condition("Programmed") == ("False", "NextVersionStarting")
    assert shell.condition("Ready")[0] == "True"
    assert len(moved_applications(shell)) == 2

    shell.gateway_says(shell.wanted_revision(), candidate)
    await shell.pass_over()
    assert shell.tables() == {"active": shell.tables()["active"]}
    assert shell.wanted_revision() == candidate
    shell.gateway_says(candidate)
    assert (await shell.pass_over() or 0) <= 120
    assert shell.condition("Programmed") == ("True", "Confirmed")
    assert moved_applications(shell) == [new, old]

    shell.clock.seconds += 120
    await shell.pass_over()
    assert moved_applications(shell) == [new]


async def test_a_next_version_that_fails_is_told_as_stalled_while_the_old_one_serves(shell: Shell):
    blue_green = {PORTFOLIO: {"models.0.updateStrategy": {"type": "BlueGreen"}}}
    shell.write(blue_green)
    await shell.settle_running()
    shell.write({**blue_green, GENERAL: {"vllm.engineArgs.max_model_len": 4096}})
    await shell.pass_over()
    shell.everything_runs()
    shell.gateway_says(shell.wanted_revision(), shell.tables()["candidate"]["revision"], general="Failed")

    await shell.pass_over()

    assert shell.condition("Stalled") == ("True", "NextVersionFailed")
    assert shell.condition("Ready")[0] == "True"
    assert "its next version is Failed" in shell.message("Programmed")


def moved_applications(shell: Shell) -> list[str]:
    names = [each["name"] for each in shell.serve_config()["applications"]]
    return [name for name in names if name.startswith("model-general")]


async def test_what_serve_was_asked_for_is_read_once_an_edit_and_forgotten_with_its_portfolio(
    settled: Shell, monkeypatch: pytest.MonkeyPatch
):
    read: list[str] = []
    texts = gather.TEXTS
    monkeypatch.setattr(
        gather, "TEXTS", SimpleNamespace(read=lambda text: read.append(text) or texts.read(text))
    )
    for _ in range(3):
        await settled.gatherer.gather(settled.cluster.one(kinds.PORTFOLIO, "desk"))
    assert read == []
    settled.cluster.edit(kinds.RAY_SERVICE, DESK, "spec.serveConfigV2", "applications: []")
    for _ in range(3):
        found = await settled.gatherer.gather(settled.cluster.one(kinds.PORTFOLIO, "desk"))
    assert read == ["applications: []"]
    assert found.asked.applications == {}

    settled.cluster.remove(kinds.PORTFOLIO, DESK)
    await settled.pass_over()
    assert len(settled.gatherer._configurations) == 0

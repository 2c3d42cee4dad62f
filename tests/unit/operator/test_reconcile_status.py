"""What a pass says, and what it does when the API server says no."""

from __future__ import annotations

import pytest
from tests.unit.operator.desk import GENERAL, POLICY, PORTFOLIO, REMOVED
from tests.unit.operator.shell import BUDGET, DESK, GHOST, Shell

from folio_operator import cluster as kinds
from folio_operator.cluster import ApiError


async def test_all_is_said_to_be_well_when_every_replica_confirms(settled: Shell):
    truths = {
        kind: settled.condition(kind)[0]
        for kind in ("Accepted", "Programmed", "ModelsReady", "GatewayReady", "Ready")
    }
    assert set(truths.values()) == {"True"}
    assert settled.condition("Reconciling") == settled.condition("Stalled") == ("", "")
    status = settled.cluster.one(kinds.PORTFOLIO, "desk")["status"]
    assert status["modelsReady"] == "6/6"
    assert status["active"]["revision"] == settled.wanted_revision()
    assert {"kind": "RoutingPolicy", "name": "default", "generation": 1} in status["active"]["inputs"]


async def test_what_serves_is_of_the_old_generation_until_every_replica_confirms(settled: Shell):
    settled.write({POLICY: {"limits.deadline": "20s"}})
    await settled.pass_over()
    assert _served_generation(settled) == 1

    settled.everything_runs()
    await settled.pass_over()
    assert _served_generation(settled) == 2


def _served_generation(shell: Shell) -> int:
    inputs = shell.cluster.one(kinds.PORTFOLIO, "desk")["status"]["active"]["inputs"]
    return next(int(each["generation"]) for each in inputs if each["kind"] == "RoutingPolicy")


async def test_the_gateway_is_asked_often_until_converged_and_seldom_then(shell: Shell):
    shell.write()
    await shell.pass_over()
    assert await shell.pass_over() == 15.0  # KubeRay has said nothing yet
    shell.cluster.edit(kinds.RAY_SERVICE, DESK, "status.observedGeneration", 1)
    assert await shell.pass_over() == 30.0  # no cluster yet: an event will tell, or its pods' silence
    shell.serve_runs("gateway")
    assert await shell.pass_over() == 0.4  # and now the models are asked for, which is another edit
    assert await shell.pass_over() == 0.4
    for waited, then in ((0.4, 0.4), (0.4, 0.8), (0.8, 1.6), (1.6, 2.0), (60.0, 2.0)):
        shell.clock.seconds += waited
        assert await shell.pass_over() == pytest.approx(then)
    shell.everything_runs()
    assert await shell.pass_over() == 30.0
    shell.write({POLICY: {"limits.deadline": "21s"}})
    assert await shell.pass_over() == 0.4


async def test_one_bad_model_is_degraded_and_the_portfolio_ready(settled: Shell):
    names = [
        each["name"] for each in settled.serve_config()["applications"] if each["name"] != "model-triage"
    ]
    settled.serve_runs(*names, triage="Traceback:\n  File x\nFileNotFoundError: /volumes/models/triage")
    settled.gateway_says(settled.wanted_revision(), triage="Loading")
    await settled.pass_over()

    assert settled.condition("Ready") == ("True", "Answering")
    assert settled.condition("ModelsReady") == ("False", "Degraded")
    assert (
        "triage is Failed (FileNotFoundError: /volumes/models/triage), contracts stands in"
        in settled.message("ModelsReady")
    )
    assert settled.condition("Ready", kinds.MODEL, "triage") == ("False", "Failed")


async def test_a_budget_that_is_spent_is_said_though_nothing_else_changed(settled: Shell):
    settled.write({PORTFOLIO: {"budgets": [BUDGET]}})
    await settled.pass_over()
    settled.everything_runs()
    settled.used(1)
    await settled.pass_over()
    assert settled.condition("BudgetAvailable") == ("Unknown", "NotDurable")

    settled.used(9)
    await settled.pass_over()
    assert settled.condition("BudgetAvailable") == ("False", "Spent")
    settled.cluster.writes.clear()
    await settled.pass_over()
    assert settled.cluster.writes == []


async def test_a_name_that_belongs_to_somebody_else_is_not_adopted(shell: Shell):
    shell.cluster.add(
        {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "desk", "namespace": "bank"}}
    )
    shell.store.drop(shell.cluster.one(kinds.RAY_SERVICE, "desk"))  # it has no label: no watch shows it
    shell.write()
    after = await shell.pass_over()

    assert shell.condition("Stalled") == ("True", "NameConflict")
    assert "spec" not in shell.service()
    assert after == 60.0


async def test_a_service_that_kuberay_would_fight_over_is_a_conflict_too(shell: Shell):
    shell.cluster.add(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "desk", "namespace": "bank"}}
    )
    shell.write()
    await shell.pass_over()

    assert shell.condition("Stalled") == ("True", "NameConflict")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ApiError(403, "cannot patch resource rayservices", "PATCH"), "Forbidden"),
        (
            ApiError(404, "the server could not find it", "PATCH /apis/ray.io/v1/namespaces/bank"),
            "KubeRayAbsent",
        ),
        (ApiError(422, "spec.x: invalid value", "PATCH"), "Refused"),
    ],
)
async def test_what_only_a_person_can_put_right_is_a_condition_and_a_slow_retry(
    shell: Shell, error: ApiError, reason: str
):
    shell.cluster.refused["apply", "RayService"] = error
    shell.write()
    after = await shell.pass_over()

    assert shell.condition("Programmed") == ("False", reason)
    assert shell.condition("Stalled") == ("True", reason)
    assert after == 60.0
    shell.cluster.refused.clear()
    await shell.pass_over()
    assert shell.condition("Stalled") == ("", "")


@pytest.mark.parametrize("status", [0, 409, 429, 500, 503])
async def test_what_passes_by_itself_is_raised_for_the_queue_to_try_again(shell: Shell, status: int):
    shell.cluster.refused["apply", "RayService"] = ApiError(status, "try again")
    shell.write()
    with pytest.raises(ApiError):
        await shell.pass_over()


async def test_a_refused_status_is_raised_and_an_object_that_went_meanwhile_is_not(shell: Shell):
    shell.write()
    shell.cluster.refused["apply status", "ModelPortfolio"] = ApiError(404, "gone")
    await shell.pass_over()
    shell.cluster.refused["apply status", "ModelPortfolio"] = ApiError(500, "duplicate")
    with pytest.raises(ApiError):
        await shell.pass_over()


async def test_events_tell_of_turns_and_of_nothing_twice(settled: Shell):
    settled.write(GHOST)
    await settled.pass_over()
    created = [each for each in settled.cluster.writes if each.startswith("create Event/desk.")]
    notes = {each["reason"] for (kind, _), each in settled.cluster.objects.items() if kind is kinds.EVENT and each["type"] == "Warning" and each["regarding"]["name"] == "desk"}  # fmt: skip
    assert created
    assert "UnknownRung" in notes

    settled.cluster.writes.clear()
    await settled.pass_over()
    settled.start()
    await settled.pass_over()
    assert settled.cluster.writes == []


async def test_an_event_that_cannot_be_written_fails_nothing(settled: Shell):
    settled.cluster.refused["create", "Event"] = ApiError(403, "no")
    settled.write(GHOST)
    await settled.pass_over()

    assert settled.condition("Accepted") == ("False", "UnknownRung")


async def test_a_condition_keeps_its_time_until_it_turns(settled: Shell):
    def since(kind: str) -> str:
        found = settled.cluster.one(kinds.PORTFOLIO, "desk")["status"]["conditions"]
        return next(each["lastTransitionTime"] for each in found if each["type"] == kind)

    before = since("Accepted"), since("Ready")
    settled.clock.seconds += 60
    settled.write(GHOST)
    await settled.pass_over()
    assert since("Accepted") != before[0]
    assert since("Ready") == before[1]


async def test_a_policys_status_is_about_its_newest_generation_in_all_portfolios(settled: Shell):
    assert settled.condition("Programmed", kinds.POLICY, "default") == ("True", "Confirmed")
    settled.write({POLICY: {"limits.deadline": "20s"}})
    await settled.pass_over()

    assert settled.condition("Programmed", kinds.POLICY, "default") == ("False", "Converging")
    settled.everything_runs()
    await settled.pass_over()
    assert settled.condition("Programmed", kinds.POLICY, "default") == ("True", "Confirmed")
    status = settled.cluster.one(kinds.POLICY, "default")["status"]
    assert status["observedGeneration"] == 2
    assert [each["name"] for each in status["portfolios"]] == ["desk"]


async def test_a_bad_policy_is_said_on_the_policy_itself(settled: Shell):
    settled.write(GHOST)
    await settled.pass_over()

    assert settled.condition("Accepted", kinds.POLICY, "default") == ("False", "UnknownRung")
    assert settled.condition("Stalled", kinds.POLICY, "default") == ("True", "UnknownRung")


async def test_a_refused_edit_is_not_said_to_be_programmed(settled: Shell):
    """Else whoever waits for Programmed after an edit takes a refused one for live."""
    settled.write(GHOST)
    await settled.pass_over()

    for kind, name in ((kinds.PORTFOLIO, "desk"), (kinds.POLICY, "default")):
        assert settled.condition("Programmed", kind, name) == ("False", "UnknownRung")
        assert "ghost" in settled.message("Programmed", kind, name)
    assert settled.condition("Ready") == ("True", "Answering")

    settled.write()
    await settled.pass_over()
    assert settled.condition("Programmed", kinds.POLICY, "default") == ("True", "Confirmed")


async def test_a_refused_model_is_said_on_the_model_itself_and_on_no_other(settled: Shell):
    settled.write({GENERAL: {"vllm.engineArgs.trust_remote_code": True}})
    await settled.pass_over()

    refused = ("False", "RemoteCodeNotAllowed")
    assert settled.condition("Accepted", kinds.MODEL, "llama-8b") == refused
    assert settled.condition("Ready", kinds.MODEL, "llama-8b") == refused
    assert settled.condition("Stalled", kinds.MODEL, "llama-8b") == ("True", "RemoteCodeNotAllowed")
    assert "portfolio desk: SpecialistModel/llama-8b" in settled.message("Ready", kinds.MODEL, "llama-8b")
    assert settled.condition("Ready", kinds.MODEL, "triage") == ("True", "Answering")
    assert settled.condition("Stalled", kinds.MODEL, "triage") == ("", "")

    settled.write()
    await settled.pass_over()
    assert settled.condition("Ready", kinds.MODEL, "llama-8b") == ("True", "Answering")
    assert settled.condition("Stalled", kinds.MODEL, "llama-8b") == ("", "")


async def test_a_models_status_names_the_portfolios_that_serve_it(settled: Shell):
    status = settled.cluster.one(kinds.MODEL, "llama-8b")["status"]
    (entry,) = status["portfolios"]
    assert (entry["name"], entry["state"], entry["observedGeneration"]) == ("desk", "Ready", 1)

    settled.write({PORTFOLIO: {"models.2": REMOVED}, POLICY: {"intents.0.ladder.0": REMOVED}})
    await settled.pass_over()
    assert settled.condition("Ready", kinds.MODEL, "triage") == ("Unknown", "Unused")
    assert settled.cluster.one(kinds.MODEL, "triage")["status"]["portfolios"] == []


async def test_a_secret_that_the_operator_may_not_read_is_a_condition(shell: Shell):
    shell.cluster.refused["get", "Secret"] = ApiError(403, "cannot get resource secrets", "GET")
    shell.write()

    assert await shell.pass_over() == 60.0
    assert shell.condition("Stalled") == ("True", "Forbidden")

"""What the operator writes is what kstatus, Argo CD and Flux read: each state of a portfolio, each reader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.unit.gitops.verdicts import argo, flux, kstatus
from tests.unit.operator.desk import POLICY as POLICY_OBJECT
from tests.unit.operator.desk import PORTFOLIO, REMOVED
from tests.unit.operator.shell import DESK, GHOST, Shell

from folio_operator import cluster as kinds
from folio_operator.cluster import ApiError

Story = Callable[[Shell], Awaitable[None]]
SECOND_CLUSTER = {PORTFOLIO: {"ray.head": {"resources": {"limits": {"cpu": "4", "memory": "16Gi"}}}}}
OTHER_THRESHOLD = {POLICY_OBJECT: {"defaultLadder.0.timeout": "7s"}}


async def nobody_has_looked(shell: Shell) -> None:
    shell.write()


async def just_written(shell: Shell) -> None:
    shell.write()
    await shell.pass_over()


async def models_are_loading(shell: Shell) -> None:
    await just_written(shell)
    shell.serve_runs("gateway")
    await shell.pass_over()
    shell.everything_runs()
    shell.gateway_says(shell.wanted_revision(), handbook="Loading")
    await shell.pass_over()


async def all_is_well(shell: Shell) -> None:
    await shell.settle()


async def policy_is_missing(shell: Shell) -> None:
    shell.write({POLICY_OBJECT: REMOVED})
    await shell.pass_over()


async def an_invalid_edit(shell: Shell) -> None:
    await shell.settle()
    shell.write(GHOST)
    await shell.pass_over()


async def a_policy_edit_that_no_pass_saw(shell: Shell) -> None:
    await shell.settle()
    shell.write(OTHER_THRESHOLD)


async def a_policy_edit_that_gateways_have_yet_to_confirm(shell: Shell) -> None:
    await a_policy_edit_that_no_pass_saw(shell)
    await shell.pass_over()


async def an_edit_that_waits_for_approval(shell: Shell) -> None:
    await shell.settle()
    shell.write(SECOND_CLUSTER)
    await shell.pass_over()


async def one_model_failed(shell: Shell) -> None:
    await shell.settle()
    names = [each["name"] for each in shell.serve_config()["applications"] if each["name"] != "model-triage"]
    shell.serve_runs(*names, triage="FileNotFoundError: /volumes/models/triage")
    shell.gateway_says(shell.wanted_revision(), triage="Loading")
    await shell.pass_over()


async def the_operator_may_not(shell: Shell) -> None:
    shell.cluster.refused["apply", "RayService"] = ApiError(403, "cannot patch resource rayservices", "PATCH")
    await just_written(shell)


async def it_is_suspended(shell: Shell) -> None:
    await shell.settle()
    shell.write({PORTFOLIO: {"suspend": True}})
    for _ in range(3):
        await shell.pass_over()


async def an_invalid_edit_while_it_is_suspended(shell: Shell) -> None:
    await it_is_suspended(shell)
    shell.write({**GHOST, PORTFOLIO: {"suspend": True}})
    await shell.pass_over()


STORIES: dict[Story, tuple[str, str, str]] = {
    # What kstatus, Argo CD and Flux with its expressions say of the portfolio.
    nobody_has_looked: ("Current", "Progressing", "InProgress"),
    just_written: ("InProgress", "Progressing", "InProgress"),
    models_are_loading: ("InProgress", "Progressing", "InProgress"),
    all_is_well: ("Current", "Healthy", "Current"),
    policy_is_missing: ("Failed", "Degraded", "Failed"),
    an_invalid_edit: ("Failed", "Degraded", "Failed"),
    a_policy_edit_that_no_pass_saw: ("Current", "Healthy", "Current"),  # the policy itself says otherwise
    a_policy_edit_that_gateways_have_yet_to_confirm: ("InProgress", "Progressing", "InProgress"),
    an_edit_that_waits_for_approval: ("Failed", "Degraded", "Failed"),
    one_model_failed: ("Current", "Degraded", "Current"),
    the_operator_may_not: ("Failed", "Degraded", "Failed"),
    it_is_suspended: ("InProgress", "Suspended", "Current"),
    an_invalid_edit_while_it_is_suspended: ("Failed", "Degraded", "Failed"),
}

POLICY_STORIES: dict[Story, tuple[str, str, str]] = {
    # The same of the policy: it goes with its portfolios.
    just_written: ("InProgress", "Progressing", "InProgress"),
    all_is_well: ("Current", "Healthy", "Current"),
    an_invalid_edit: ("Failed", "Degraded", "Failed"),
    a_policy_edit_that_no_pass_saw: ("InProgress", "Progressing", "InProgress"),
    a_policy_edit_that_gateways_have_yet_to_confirm: ("InProgress", "Progressing", "InProgress"),
    an_edit_that_waits_for_approval: ("Failed", "Degraded", "Failed"),
    one_model_failed: ("Current", "Healthy", "Current"),
    the_operator_may_not: ("Failed", "Degraded", "Failed"),
    it_is_suspended: ("Current", "Healthy", "Current"),
}


def written(shell: Shell) -> Iterator[dict[str, Any]]:
    """Every object of Folio's that the cluster holds."""
    yield from (body for (kind, _), body in shell.cluster.objects.items() if kind in kinds.INPUTS)


def of(shell: Shell, kind: kinds.Kind, name: str) -> tuple[str, str, str]:
    body = shell.cluster.one(kind, name)
    return kstatus(body), argo(body)[0], flux(body)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_every_reader_sees_the_portfolio_as_it_is(shell: Shell, story: Story):
    await story(shell)
    assert of(shell, kinds.PORTFOLIO, "desk") == STORIES[story]


@pytest.mark.parametrize("story", POLICY_STORIES, ids=lambda story: story.__name__)
async def test_every_reader_sees_the_policy_as_it_is(shell: Shell, story: Story):
    await story(shell)
    assert of(shell, kinds.POLICY, "default") == POLICY_STORIES[story]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_reconciling_and_stalled_are_there_only_when_true_and_never_together(
    shell: Shell, story: Story
):
    await story(shell)
    for body in written(shell):
        conditions = body.get("status", {}).get("conditions", ())
        abnormal = {
            each["type"]: each["status"] for each in conditions if each["type"] in ("Reconciling", "Stalled")
        }
        assert set(abnormal.values()) <= {"True"}
        assert len(abnormal) <= 1
        if any((each["type"], each["status"]) == ("Accepted", "False") for each in conditions):
            assert set(abnormal) == {"Stalled"}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_no_condition_speaks_of_another_generation_than_the_status(shell: Shell, story: Story):
    await story(shell)
    for body in written(shell):
        status = body.get("status", {})
        assert status.get("observedGeneration", 0) <= body["metadata"]["generation"]
        told = {each["observedGeneration"] for each in status.get("conditions", ())}
        assert told <= {status.get("observedGeneration")}


@pytest.mark.parametrize(
    ("kind", "name", "edit"),
    [
        (kinds.PORTFOLIO, "desk", {PORTFOLIO: {"gateway.maxReplicas": 5}}),
        (kinds.POLICY, "default", OTHER_THRESHOLD),
        (kinds.MODEL, "frontier", {"SpecialistModel/frontier": {"external.model": "large-2"}}),
    ],
    ids=lambda value: value.name if isinstance(value, kinds.Kind) else "",
)
async def test_an_edit_is_in_progress_for_every_reader_until_the_operator_has_looked(
    settled: Shell, kind: kinds.Kind, name: str, edit: Any
):
    assert of(settled, kind, name) == ("Current", "Healthy", "Current")
    settled.write(edit)
    assert of(settled, kind, name) == ("InProgress", "Progressing", "InProgress")
    await settled.pass_over()
    settled.everything_runs()
    await settled.pass_over()
    await settled.pass_over()
    assert of(settled, kind, name) == ("Current", "Healthy", "Current")


async def test_a_failed_model_says_so_itself_and_the_others_are_well(shell: Shell):
    await one_model_failed(shell)
    assert of(shell, kinds.MODEL, "triage") == ("InProgress", "Degraded", "Failed")
    assert of(shell, kinds.MODEL, "minilm") == ("Current", "Healthy", "Current")


async def test_the_models_of_a_portfolio_that_is_suspended_are_waited_for_by_kstatus_alone(shell: Shell):
    await it_is_suspended(shell)
    assert of(shell, kinds.MODEL, "minilm") == ("InProgress", "Healthy", "Current")


async def test_what_nobody_uses_is_waited_for_by_kstatus_alone(settled: Shell):
    settled.write({PORTFOLIO: REMOVED})
    settled.cluster.edit(kinds.PORTFOLIO, DESK, "metadata.finalizers", [])
    settled.cluster.end(kinds.PORTFOLIO, DESK)
    await settled.pass_over()
    assert of(settled, kinds.MODEL, "minilm") == ("InProgress", "Healthy", "Current")
    assert of(settled, kinds.POLICY, "default") == ("Current", "Healthy", "Current")


async def test_a_portfolio_on_its_way_out_is_progressing_until_it_is_stuck(settled: Shell):
    settled.cluster.edit(kinds.RAY_SERVICE, DESK, "metadata.finalizers", ["ray.io/rayservice-finalizer"])
    settled.cluster.end(kinds.PORTFOLIO, DESK)
    await settled.pass_over()
    assert of(settled, kinds.PORTFOLIO, "desk")[:2] == ("Terminating", "Progressing")
    settled.clock.seconds += 61
    await settled.pass_over()
    assert settled.condition("Stalled") == ("True", "KubeRayAbsent")
    assert of(settled, kinds.PORTFOLIO, "desk")[:2] == ("Terminating", "Degraded")

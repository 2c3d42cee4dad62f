"""A portfolio at rest costs next to nothing, and is looked at whole again as soon as anything about it is another."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.operator.desk import POLICY, PORTFOLIO
from tests.unit.operator.shell import BUDGET, DESK, Shell

from folio_api.meta import Key
from folio_operator import cluster as kinds
from folio_operator import reconcile

POLLS = 100
MOST_POLL_SECONDS = 0.001


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every decision that is taken: one a whole pass."""
    taken: list[Any] = []
    decide = reconcile.decide

    def counted(gathered: Any, installation: Any) -> Any:
        taken.append(gathered)
        return decide(gathered, installation)

    monkeypatch.setattr(reconcile, "decide", counted)
    return taken


async def test_a_poll_at_rest_costs_well_under_a_millisecond(settled: Shell, decisions: list[Any]):
    await settled.pass_over()
    decisions.clear()
    asked, began = len(settled.gateways.asked), time.process_time()
    for _ in range(POLLS):
        assert await settled.pass_over() == 30.0
    took = (time.process_time() - began) / POLLS

    assert decisions == []
    assert len(settled.gateways.asked) - asked == POLLS
    assert took < MOST_POLL_SECONDS
    assert settled.cluster.writes == settled.cluster.reads == []


def _edit_policy(shell: Shell) -> None:
    shell.write({POLICY: {"limits.deadline": "20s"}})


def _drift(shell: Shell) -> None:
    shell.cluster.edit(kinds.NETWORK_POLICY, Key("bank", "desk-ray"), "spec.policyTypes", [])


def _annotate(shell: Shell) -> None:
    shell.cluster.edit(kinds.PORTFOLIO, DESK, "metadata.annotations", {"folio.dev/refresh": "1"})


def _lose_a_child(shell: Shell) -> None:
    shell.cluster.remove(kinds.NETWORK_POLICY, Key("bank", "desk-ray"))


def _scale(shell: Shell) -> None:
    shell.cluster.edit(kinds.RAY_CLUSTER, Key("bank", "desk-x"), "spec.workerGroupSpecs.1.maxReplicas", 1)


def _serve_fails(shell: Shell) -> None:
    shell.serve_runs("gateway", triage="RuntimeError: gone")


def _overwrite_status(shell: Shell) -> None:
    shell.cluster.edit(kinds.PORTFOLIO, DESK, "status.modelsReady", "9/9")


def _lose_the_finalizer(shell: Shell) -> None:
    shell.cluster.edit(kinds.PORTFOLIO, DESK, "metadata.finalizers", [])


def _gateway_changes(shell: Shell) -> None:
    shell.gateway_says(shell.wanted_revision(), triage="Loading")


def _time_passes(shell: Shell) -> None:
    """Secrets are due to be read again."""
    shell.clock.seconds += 900


@pytest.mark.parametrize(
    "change",
    [
        _edit_policy,
        _drift,
        _annotate,
        _lose_a_child,
        _scale,
        _serve_fails,
        _overwrite_status,
        _lose_the_finalizer,
        _gateway_changes,
        _time_passes,
    ],
)
async def test_any_change_ends_the_rest(
    settled: Shell, decisions: list[Any], change: Callable[[Shell], None]
):
    await settled.pass_over()
    decisions.clear()
    await settled.pass_over()
    assert decisions == []

    change(settled)
    await settled.pass_over()
    assert len(decisions) == 1


async def test_a_pass_that_wrote_nothing_but_its_own_status_is_the_last(settled: Shell, decisions: list[Any]):
    await settled.pass_over()
    settled.gateway_says(settled.wanted_revision(), triage="Loading")
    decisions.clear()
    settled.cluster.writes.clear()
    for _ in range(3):
        await settled.pass_over()

    assert "apply ModelPortfolio/desk/status" in settled.cluster.writes
    assert len(decisions) == 1


@pytest.mark.parametrize(("kind", "name"), [(kinds.POLICY, "default"), (kinds.MODEL, "triage")])
async def test_the_status_of_a_policy_or_a_model_does_not_end_the_rest(
    settled: Shell, decisions: list[Any], kind: kinds.Kind, name: str
):
    await settled.pass_over()
    decisions.clear()
    settled.cluster.edit(kind, Key("bank", name), "status.observedGeneration", 99)
    await settled.reconciler.reconcile(DESK)
    assert decisions == []


async def test_what_is_used_of_a_budget_ends_the_rest_only_when_all_is(settled: Shell, decisions: list[Any]):
    settled.write({PORTFOLIO: {"budgets": [BUDGET]}})
    await settled.pass_over()
    settled.everything_runs()
    settled.used(0)
    await settled.pass_over()
    await settled.pass_over()
    decisions.clear()

    for requests in (1, 5, 8):
        settled.used(requests)
        await settled.pass_over()
    assert decisions == []
    settled.used(9)
    await settled.pass_over()
    assert len(decisions) == 1
    settled.used(0)
    await settled.pass_over()
    assert len(decisions) == 2


async def test_a_secret_that_another_portfolio_found_changed_ends_the_rest(
    settled: Shell, decisions: list[Any]
):
    await settled.pass_over()
    settled.cluster.edit(kinds.SECRET, Key("bank", "frontier"), "data.token", "bmV3")
    settled.reader.wrote(kinds.SECRET, Key("bank", "frontier"), settled.cluster.one(kinds.SECRET, "frontier"))
    await settled.pass_over()

    assert settled.secret("desk-gateway")["frontier.token"] == "bmV3"

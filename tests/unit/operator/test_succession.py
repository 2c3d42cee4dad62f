"""How a model moves from one application to the next: what stands, what is asked, and what goes when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operator.desk import CONTRACTS, GENERAL, PORTFOLIO, REMOVED, TRIAGE, Edits, rendered

from folio_api.table import GatewayState, ModelState, ReplicaState
from folio_operator.desired import Circumstances, Desired
from folio_operator.plan import Effect, plan
from folio_operator.succession import Asked, Drains, Past

FIRST: Edits = {PORTFOLIO: {"models.0.updateStrategy": {"type": "BlueGreen"}}}
SECOND: Edits = {**FIRST, GENERAL: {"vllm.engineArgs.max_model_len": 4096}}
THIRD: Edits = {**FIRST, GENERAL: {"vllm.engineArgs.max_model_len": 2048}}
MODELS = ("contracts", "frontier", "general", "handbook", "minilm", "triage")


def after(before: Desired, edits: Edits, gateway: GatewayState | None = None, *drained: str) -> Desired:
    """Return what is wanted by the edits where this was asked for before."""
    past = Past(Asked.of(before.serve_config), gateway, frozenset(drained))
    return rendered(edits, Circumstances(past=past))


def says(revision: str, candidate: str | None = None, replicas: int = 2, **states: Any) -> GatewayState:
    """Every gateway replica holds these tables, and its candidate's models are Ready but where it is said."""
    told = tuple(ModelState(name=name, state=states.get(name, "Ready")) for name in MODELS)
    held = tuple(
        ReplicaState(
            replica=str(n), revision=revision, candidate=candidate, candidate_models=told if candidate else ()
        )
        for n in range(replicas)
    )
    return GatewayState(replicas=held)


def ready(moving: Desired, **states: Any) -> GatewayState:
    return says(moving.succession.active.revision, moving.table.revision, **states)


def applications(found: Desired, model: str = "general") -> list[str]:
    names = [each["name"] for each in found.serve_config["applications"]]
    return [name for name in names if name.split("_")[0] == f"model-{model}"]


def asks(table: Any, model: str = "general") -> str:
    return next(each.application for each in table.models if each.name == model)


def test_the_name_is_that_of_all_that_would_restart_it_and_of_nothing_else():
    tuned = {
        **FIRST,
        PORTFOLIO: {**FIRST[PORTFOLIO], "models.0.scaling.maxReplicas": 5, "models.0.drainTimeout": "9s"},
    }
    (first,), (second,), (same,) = (applications(rendered(each)) for each in (FIRST, SECOND, tuned))

    assert first.startswith("model-general_")
    assert first != second
    assert first == same
    assert applications(rendered()) == ["model-general"]


def test_until_the_next_version_answers_both_stand_and_the_old_one_is_asked():
    first, wanted = rendered(FIRST), rendered(SECOND)
    moving = after(first, SECOND)

    assert applications(moving) == [*applications(wanted), *applications(first)]
    assert asks(moving.succession.active) == applications(first)[0]
    assert moving.succession.candidate == wanted.table == moving.table
    assert moving.succession.active == first.table
    assert asks(moving.succession.active, "contracts") == applications(first)[0]


@pytest.mark.parametrize("state", ["Pending", "Loading", "Failed", "Idle", "Updating"])
def test_only_an_answered_canary_moves_requests(state: str):
    first = rendered(FIRST)
    moving = after(first, SECOND)

    assert after(moving, SECOND, ready(moving, general=state)).succession.candidate is not None
    assert after(moving, SECOND, ready(moving)).succession.candidate is None


def test_one_gateway_replica_that_does_not_hold_the_table_yet_keeps_requests_where_they_are():
    moving = after(rendered(FIRST), SECOND)
    gateway = ready(moving)
    behind = gateway.replicas[1].model_copy(update={"candidate": None, "candidate_models": ()})
    mixed = gateway.model_copy(update={"replicas": (gateway.replicas[0], behind)})

    assert after(moving, SECOND, mixed).succession.candidate is not None


def test_after_the_move_the_old_one_drains_and_then_is_gone():
    first = rendered(FIRST)
    moving = after(first, SECOND)
    moved = after(moving, SECOND, ready(moving))
    (old,) = applications(first)

    assert moved.succession.active == moved.table
    assert moved.succession.draining == {old: 120.0}
    assert old in applications(moved)
    assert applications(after(moved, SECOND, None, old)) == applications(rendered(SECOND))


def test_an_edit_that_is_taken_back_leaves_no_trace_of_what_never_served():
    first = rendered(FIRST)
    moving = after(first, SECOND)

    assert after(moving, FIRST).serve_config == first.serve_config


def test_a_third_version_replaces_one_that_never_served():
    first = rendered(FIRST)
    again = after(after(first, SECOND), THIRD)

    assert applications(again) == [*applications(rendered(THIRD)), *applications(first)]


def test_a_third_version_does_not_wait_for_the_first_one_to_drain():
    moving = after(rendered(FIRST), SECOND)
    moved = after(moving, SECOND, ready(moving))

    assert applications(after(moved, THIRD)) == [
        *applications(rendered(THIRD)),
        *applications(rendered(SECOND)),
    ]


def test_each_model_moves_by_itself():
    both: Edits = {PORTFOLIO: {**FIRST[PORTFOLIO], "models.2.updateStrategy": {"type": "BlueGreen"}}}
    edit = {**both, GENERAL: SECOND[GENERAL], TRIAGE: {"encoder.source.uri": "volume://models/triage-2"}}
    moving = after(rendered(both), edit)
    half = after(moving, edit, ready(moving, general="Loading"))

    assert asks(half.succession.active, "triage") == asks(half.table, "triage")
    assert asks(half.succession.active) == applications(rendered(both))[0]
    assert set(half.succession.draining) == set(applications(rendered(both), "triage"))


def test_the_old_one_sees_no_data_that_the_edit_takes_away_or_grants_to_the_new_one():
    taken = {
        **SECOND,
        PORTFOLIO: {
            **SECOND[PORTFOLIO],
            "dataClasses": REMOVED,
            **{f"models.{n}.clearances": [] for n in range(5)},
        },
    }
    without = {**FIRST, PORTFOLIO: taken[PORTFOLIO]}

    for before, now in ((FIRST, taken), (without, SECOND)):
        moving = after(rendered(before), now)
        assert (
            next(each for each in moving.succession.active.models if each.name == "general").clearances == ()
        )


def test_a_model_that_sleeps_starts_one_replica_to_show_that_it_answers():
    asleep = {"models.0.scaling.minReplicas": 0}
    before, edit = ({**each, PORTFOLIO: {**each[PORTFOLIO], **asleep}} for each in (FIRST, SECOND))
    moving = after(rendered(before), edit)
    moved = after(moving, edit, ready(moving))

    assert [_least(each, applications(rendered(edit))[0]) for each in (moving, moved)] == [1, 0]


def _least(found: Desired, name: str) -> int:
    application = next(each for each in found.serve_config["applications"] if each["name"] == name)
    return int(application["deployments"][0]["autoscaling_config"]["min_replicas"])


def test_a_change_of_the_strategy_is_such_a_move_too():
    moving = after(rendered(), FIRST)

    assert applications(moving) == [*applications(rendered(FIRST)), "model-general"]
    assert applications(after(moving, FIRST, ready(moving), "model-general")) == applications(rendered(FIRST))


def test_an_adapter_that_is_new_does_not_hold_its_base_back():
    without = {**FIRST, CONTRACTS: {}}
    moving = after(rendered(without), SECOND)

    assert (
        asks(after(moving, SECOND, ready(moving)).succession.active, "contracts")
        == applications(rendered(SECOND))[0]
    )


def test_plan_says_that_nothing_restarts_and_what_it_takes():
    found = plan(rendered(SECOND), rendered(FIRST))

    assert (found.effect, found.extra_gpus) == (Effect.IN_PLACE, 1)
    (change,) = (each for each in found.changes if each.subject == "model general")
    assert "starts beside it and takes 1 GPUs (context_tokens, engine_args.max_model_len" in change.message


def test_draining_is_counted_from_when_every_gateway_has_left_it():
    moving = after(rendered(FIRST), SECOND)
    moved = after(moving, SECOND, ready(moving))
    (old,) = moved.succession.draining
    drains, revision = Drains(), moved.table.revision

    drains.note("desk", moved.succession, says("another"), now=0.0)
    assert drains.seconds_until("desk", 0.0) is None
    drains.note("desk", moved.succession, says(revision), now=100.0)
    drains.note("desk", moved.succession, says(revision), now=150.0)
    assert drains.seconds_until("desk", 150.0) == 70.0
    assert drains.over("desk", 219.0) == frozenset()
    assert drains.over("desk", 220.0) == {old}
    assert drains.over("other", 220.0) == frozenset()
    drains.note("desk", replace(moved.succession, draining={}), says(revision), now=221.0)
    assert drains.seconds_until("desk", 221.0) is None

"""What becomes of an edit that a part of the traffic tries first, pass by pass."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.desk import FRONTIER, GENERAL, POLICY, PORTFOLIO, desk
from tests.unit.operator.shell import DESK, GHOST, Shell

from folio_api.table import Trial
from folio_operator import cluster as kinds
from folio_operator.canary import base_of
from folio_operator.cluster import ApiError

CANARY = {"percent": 10, "duration": "30m", "abortOn": {"maxErrorRate": "0.02", "maxEscalationRate": "0.4"}}
TRIED = {PORTFOLIO: {"rollout": {"canary": CANARY}}}
EDIT = {**TRIED, POLICY: {"limits.deadline": "20s"}}
OTHER = {**TRIED, POLICY: {"limits.deadline": "25s"}}
ROOMIER = {"rollout": {"canary": CANARY}, "models.0.scaling.maxReplicas": 7}


@pytest.fixture
async def trying(shell: Shell) -> Shell:
    """A portfolio with a canary, whose policy was just edited."""
    shell.with_key()
    await shell.settle()
    shell.write(TRIED)
    await shell.pass_over()
    shell.everything_runs()
    await shell.pass_over()
    shell.write(EDIT)
    await shell.pass_over()
    shell.everything_runs()
    return shell


def hold(shell: Shell, **counts: int) -> str:
    """Both gateway replicas hold the candidate; return its revision."""
    shell.everything_runs()
    revision = shell.tables()["candidate"]["revision"]
    assert shell.gateways.answer is not None
    fields = {"candidate": revision, "trials": (Trial(revision=revision, **counts),)}
    replicas = tuple(each.model_copy(update=fields) for each in shell.gateways.answer.replicas)
    shell.gateways.answer = shell.gateways.answer.model_copy(update={"replicas": replicas})
    return str(revision)


async def held(shell: Shell, **counts: int) -> str:
    """The trial has begun."""
    revision = hold(shell, **counts)
    await shell.pass_over()
    return revision


async def condemned(shell: Shell) -> str:
    revision = await held(shell, requests=100, errors=30)
    await shell.pass_over()
    shell.everything_runs()
    await shell.pass_over()
    return revision


def status(shell: Shell) -> dict[str, Any]:
    return dict(shell.cluster.one(kinds.PORTFOLIO, "desk")["status"])


def tried(shell: Shell) -> list[str]:
    """Phases of the revisions that are, or were, candidates."""
    kept = [body for (kind, _), body in shell.cluster.objects.items() if kind is kinds.REVISION]
    labels = [each["metadata"]["labels"] for each in kept]
    return [each["folio.dev/phase"] for each in labels if "folio.dev/phase" in each]


def deadline(shell: Shell, table: str = "active") -> float:
    return float(shell.tables()[table]["limits"]["deadline_seconds"])


async def test_an_edit_of_the_policy_is_given_to_a_part_of_the_traffic(trying: Shell) -> None:
    assert trying.tables()["canary_percent"] == 10
    assert deadline(trying) != deadline(trying, "candidate") == 20
    assert trying.condition("Programmed") == ("False", "Canary")
    assert status(trying)["candidate"]["phase"] == "Deploying"
    revision = await held(trying)
    found = status(trying)["candidate"]
    assert (found["revision"], found["phase"], found["percent"]) == (revision, "Canary", 10)
    assert found["message"] == f"10 % of the traffic tries revision {revision} for 30m"
    assert status(trying)["active"]["revision"] == trying.tables()["active"]["revision"]
    assert trying.condition("Programmed", kinds.POLICY, "default") == ("False", "Canary")
    assert trying.condition("Reconciling") == ("True", "Canary")


async def test_a_pass_over_a_canary_that_goes_on_writes_nothing_whatever_it_counts(trying: Shell) -> None:
    await held(trying)
    await trying.pass_over()
    trying.cluster.writes.clear()
    for requests in range(30, 90, 30):
        trying.clock.seconds += 100
        hold(trying, requests=requests)
        await trying.pass_over()
    assert trying.cluster.writes == []


async def test_a_pass_comes_when_the_time_is_over_though_nothing_else_happens(trying: Shell) -> None:
    await held(trying, requests=50)
    trying.clock.seconds += 1799.5
    assert await trying.pass_over() == pytest.approx(0.5)
    assert await trying.pass_over() == pytest.approx(0.5)
    trying.clock.seconds += 0.5
    assert await trying.pass_over() == 0.0
    await trying.pass_over()
    assert deadline(trying) == 20


async def test_the_time_begins_when_every_gateway_holds_it(trying: Shell) -> None:
    trying.clock.seconds += 4000
    await trying.pass_over()
    await held(trying, requests=100)
    trying.clock.seconds += 1700
    await trying.pass_over()
    assert status(trying)["candidate"]["phase"] == "Canary"


async def test_a_good_candidate_goes_live_also_over_a_restart(trying: Shell) -> None:
    revision = await held(trying, requests=100)
    trying.clock.seconds += 1000
    await trying.pass_over()
    trying.start()
    trying.clock.seconds += 800
    assert await trying.pass_over() == 0.0
    await trying.pass_over()
    assert trying.tables()["active"]["revision"] == revision
    assert "candidate" not in trying.tables()
    trying.everything_runs()
    await trying.pass_over()
    assert trying.condition("Programmed") == ("True", "Confirmed")
    assert "candidate" not in status(trying)
    assert tried(trying) == []
    trying.cluster.writes.clear()
    await trying.pass_over()
    assert trying.cluster.writes == []


async def test_a_promotion_that_was_cut_off_goes_on_after_a_restart(trying: Shell) -> None:
    revision = await held(trying, requests=100)
    trying.clock.seconds += 1800
    await trying.pass_over()
    trying.start()
    trying.gateways.answer = None
    await trying.pass_over()
    assert trying.tables()["active"]["revision"] == revision


async def test_gateways_that_restarted_have_forgotten_nothing_that_they_told(trying: Shell) -> None:
    await held(trying, requests=9, errors=4)
    hold(trying, requests=0)
    assert trying.gateways.answer is not None
    renamed = [
        each.model_copy(update={"replica": each.replica * 2}) for each in trying.gateways.answer.replicas
    ]
    trying.gateways.answer = trying.gateways.answer.model_copy(update={"replicas": tuple(renamed)})
    trying.clock.seconds += 2000
    await trying.pass_over()
    assert status(trying)["candidate"]["reason"] == "TooLittleTraffic"
    more = [
        each.model_copy(update={"trials": (each.trials[0].model_copy(update={"requests": 1}),)})
        for each in renamed
    ]
    trying.gateways.answer = trying.gateways.answer.model_copy(update={"replicas": tuple(more)})
    await trying.pass_over()
    await trying.pass_over()
    assert "8 of 20 requests failed" in trying.message("Stalled")


async def test_without_traffic_a_candidate_waits_and_says_so(trying: Shell) -> None:
    await held(trying, requests=2)
    trying.clock.seconds += 86400
    await trying.pass_over()
    assert status(trying)["candidate"]["reason"] == "TooLittleTraffic"
    assert "or at once without rollout.canary" in trying.message("Programmed")
    trying.cluster.writes.clear()
    assert await trying.pass_over() == 2.0
    assert trying.cluster.writes == []
    trying.write({**EDIT, PORTFOLIO: {}})
    await trying.pass_over()
    assert (deadline(trying), "candidate" in trying.tables()) == (20, False)


async def test_a_bad_candidate_is_rejected_and_not_tried_again_until_an_edit(trying: Shell) -> None:
    active = trying.tables()["active"]
    revision = await condemned(trying)
    assert trying.tables() == {"active": active}
    assert trying.condition("Programmed") == ("False", "CanaryRejected")
    assert trying.condition("Stalled") == ("True", "CanaryRejected")
    assert trying.condition("Stalled", kinds.POLICY, "default") == ("True", "CanaryRejected")
    assert trying.condition("Ready") == ("True", "Answering")
    assert "60 of 200 requests failed" in trying.message("Stalled")
    (rejected,) = status(trying)["rejected"]
    assert (rejected["revision"], rejected["reason"]) == (revision, "ErrorRate")
    trying.start()
    trying.cluster.writes.clear()
    await trying.pass_over()
    assert trying.cluster.writes == []
    assert "candidate" not in trying.tables()
    trying.write(OTHER)
    await trying.pass_over()
    assert deadline(trying, "candidate") == 25
    trying.write(EDIT)
    await trying.pass_over()
    assert "candidate" not in trying.tables()


async def test_what_turns_is_told_as_an_event_once(trying: Shell) -> None:
    await condemned(trying)
    await trying.pass_over()
    told = [body["reason"] for (kind, _), body in trying.cluster.objects.items() if kind.name == "Event"]
    assert (told.count("Canary"), told.count("CanaryRejected")) == (2, 2), (
        "of the portfolio and of its policy"
    )


async def test_a_table_that_a_gateway_cannot_use_is_rejected_though_nobody_tried_it(trying: Shell) -> None:
    revision = trying.tables()["candidate"]["revision"]
    trying.gateway_says(trying.tables()["active"]["revision"])
    assert trying.gateways.answer is not None
    refusing = {"rejected": "the artifact is not there", "rejected_revision": revision}
    replicas = tuple(each.model_copy(update=refusing) for each in trying.gateways.answer.replicas)
    trying.gateways.answer = trying.gateways.answer.model_copy(update={"replicas": replicas})
    await trying.pass_over()
    await trying.pass_over()
    assert "the artifact is not there" in trying.message("Programmed")
    assert status(trying)["rejected"][0]["reason"] == "TableRejected"


async def test_a_note_of_a_trial_that_may_not_be_written_is_a_condition(trying: Shell) -> None:
    trying.cluster.refused["apply", "ControllerRevision"] = ApiError(403, "no quota is left")
    await held(trying, requests=100)
    assert trying.condition("Programmed") == ("False", "Forbidden")
    assert "no quota is left" in trying.message("Stalled")
    trying.cluster.refused.clear()
    trying.clock.seconds += 60
    await held(trying, requests=100)
    assert trying.condition("Programmed") == ("False", "Canary")


async def test_a_newer_edit_replaces_the_candidate_and_an_edit_back_ends_it(trying: Shell) -> None:
    await held(trying, requests=100)
    assert tried(trying) == ["Canary"]
    trying.write(OTHER)
    await trying.pass_over()
    assert deadline(trying, "candidate") == 25
    assert status(trying)["candidate"]["phase"] == "Deploying"
    trying.write(TRIED)
    await trying.pass_over()
    assert "candidate" not in trying.tables()
    await trying.pass_over()
    assert tried(trying) == []


async def test_an_edit_that_comes_back_is_tried_for_its_whole_time(trying: Shell) -> None:
    await held(trying, requests=100)
    trying.clock.seconds += 1700
    trying.write({**EDIT, **GHOST})
    await trying.pass_over()
    assert (trying.condition("Accepted")[0], "candidate" in trying.tables()) == ("False", False)
    trying.clock.seconds += 1700
    trying.write(EDIT)
    await trying.pass_over()
    await held(trying, requests=100)
    assert status(trying)["candidate"]["phase"] == "Canary"
    assert deadline(trying) != 20


async def test_an_edit_of_the_portfolio_goes_live_and_takes_no_candidate_with_it(trying: Shell) -> None:
    await held(trying, requests=5)
    trying.write({**EDIT, PORTFOLIO: ROOMIER})
    await trying.pass_over()
    assert deadline(trying, "candidate") == 20
    assert deadline(trying) != 20
    general = next(each for each in trying.serve_config()["applications"] if each["name"] == "model-general")
    assert general["deployments"][0]["autoscaling_config"]["max_replicas"] == 7
    trying.write({**EDIT, PORTFOLIO: ROOMIER, **GHOST})
    await trying.pass_over()
    general = next(each for each in trying.serve_config()["applications"] if each["name"] == "model-general")
    assert general["deployments"][0]["autoscaling_config"]["max_replicas"] == 7, "that was good"


async def test_a_rejected_policy_stays_out_when_the_portfolio_is_edited_suspended_or_lost(
    trying: Shell,
) -> None:
    await condemned(trying)
    trying.cluster.remove(kinds.RAY_SERVICE, DESK)
    await trying.pass_over()
    assert deadline(trying) != 20
    trying.write({**EDIT, PORTFOLIO: ROOMIER})
    await trying.pass_over()
    assert deadline(trying) != 20


async def test_an_edit_without_a_canary_goes_live_at_once(trying: Shell) -> None:
    trying.write({**EDIT, PORTFOLIO: {}})
    await trying.pass_over()
    assert deadline(trying) == 20
    assert "candidate" not in trying.tables()


async def test_no_more_than_five_rejected_revisions_are_remembered(trying: Shell) -> None:
    for seconds in range(40, 47):
        await held(trying, requests=100, errors=30)
        await trying.pass_over()
        trying.clock.seconds += 1
        trying.write({**TRIED, POLICY: {"limits.deadline": f"{seconds}s"}})
        await trying.pass_over()
    await trying.pass_over()
    assert len(status(trying)["rejected"]) == 5
    assert tried(trying).count("Rejected") == 5


def test_what_restarts_a_model_goes_live_and_the_policy_beside_it_is_tried() -> None:
    last = desk(TRIED)
    edit = desk({**EDIT, GENERAL: {"vllm.engineArgs.max_model_len": 2048}})
    base = base_of(edit, last)
    assert base is not None
    assert base.policy == last.policy
    assert base.specialists == edit.specialists


def test_what_only_the_table_says_of_a_model_is_tried() -> None:
    last = desk(TRIED)
    base = base_of(desk({**TRIED, FRONTIER: {"contextTokens": 9000}}), last)
    assert base is not None
    assert base.specialists == last.specialists


def test_what_restarts_a_model_alone_is_not_tried() -> None:
    assert base_of(desk({**TRIED, GENERAL: {"vllm.engineArgs.max_model_len": 2048}}), desk(TRIED)) is None


async def test_the_time_stands_still_while_gateways_hold_another_table_also_over_a_restart(
    trying: Shell,
) -> None:
    revision = await held(trying, requests=100)
    trying.clock.seconds += 1000
    await trying.pass_over()
    move(trying, "the-table-of-a-move")
    await trying.pass_over()
    assert status(trying)["candidate"]["reason"] == "Converging"
    assert "800 s of its 30m are left" in status(trying)["candidate"]["message"]
    trying.cluster.writes.clear()
    await trying.pass_over()
    assert trying.cluster.writes == []

    trying.start()
    trying.clock.seconds += 4000
    await trying.pass_over()
    assert deadline(trying) != 20
    move(trying, revision)
    await trying.pass_over()
    trying.clock.seconds += 799
    await trying.pass_over()
    assert status(trying)["candidate"]["reason"] == "Trying"
    trying.clock.seconds += 1
    await trying.pass_over()
    await trying.pass_over()
    assert deadline(trying) == 20


def move(shell: Shell, candidate: str) -> None:
    """Both gateway replicas hold this table beside the active one."""
    assert shell.gateways.answer is not None
    told = {"candidate": candidate}
    replicas = tuple(each.model_copy(update=told) for each in shell.gateways.answer.replicas)
    shell.gateways.answer = shell.gateways.answer.model_copy(update={"replicas": replicas})

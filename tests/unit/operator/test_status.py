"""What is said of a portfolio, from what was seen of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operator.desk import PORTFOLIO, desk

from folio_api.table import OLD_REPLICAS, WAKING, BudgetState, GatewayState, ModelState, ReplicaState
from folio_operator.last_failure import last_failures
from folio_operator.obstacles import Obstacle
from folio_operator.status import last_line, status
from folio_operator.world import Application, Observed

REVISION = "5f0c9e1aaaaa"
MODELS = ("contracts", "frontier", "general", "handbook", "minilm", "triage")
APPLICATIONS = {f"model-{name}" for name in ("general", "handbook", "minilm", "triage")}


def observed(
    states: dict[str, str] | None = None,
    applications: dict[str, Application] | None = None,
    revisions: tuple[str, ...] = (REVISION, REVISION),
    rejected: str | None = None,
) -> Observed:
    """Everything runs and answers, but for what is said here."""
    models = tuple(ModelState(name=name, state=(states or {}).get(name, "Ready")) for name in MODELS)  # type: ignore[arg-type]
    replicas = tuple(
        ReplicaState(replica=str(n), revision=r, rejected=rejected) for n, r in enumerate(revisions)
    )
    running = {name: Application(name, "RUNNING", replicas=1) for name in APPLICATIONS}
    return Observed({**running, **(applications or {})}, GatewayState(replicas=replicas, models=models))


def truths(seen: Observed) -> dict[str, str]:
    return {each.type: each.status for each in status(desk(), seen, REVISION).findings}


def model(name: str, seen: Observed) -> ModelState:
    return next(each for each in status(desk(), seen, REVISION).models if each.name == name)


def test_all_is_true_when_all_answer():
    found = status(desk(), observed(), REVISION)

    assert {each.status for each in found.findings} == {"True"}
    assert found.revision == REVISION
    assert {each.state for each in found.models} == {"Ready"}


def test_nothing_is_claimed_of_a_gateway_that_nobody_sees():
    found = truths(Observed())

    assert found == {
        "Programmed": "Unknown",
        "ModelsReady": "False",
        "GatewayReady": "False",
        "Ready": "False",
    }


@pytest.mark.parametrize(
    ("revisions", "truth"), [((REVISION, "old"), "False"), ((REVISION, REVISION), "True")]
)
def test_programmed_means_every_replica(revisions: tuple[str, ...], truth: str):
    assert truths(observed(revisions=revisions))["Programmed"] == truth


def test_a_rejected_table_is_told_with_its_cause():
    finding = status(desk(), observed(revisions=("old",), rejected="no such embedder"), REVISION).finding(
        "Programmed"
    )

    assert finding.reason == "Rejected"
    assert "no such embedder" in finding.message


def test_a_failed_application_is_told_by_its_last_line_and_its_stand_in():
    traceback = (
        "Traceback (most recent call last):\n  File x\n    raise\nValueError: unknown engine argument foo\n"
    )
    seen = observed(
        {"general": "Loading"}, {"model-general": Application("model-general", "DEPLOY_FAILED", traceback)}
    )

    assert model("general", seen).state == "Failed"
    assert model("general", seen).message == "ValueError: unknown engine argument foo"
    assert model("general", seen).served_by == "frontier"
    assert model("contracts", seen).state == "Failed"
    assert truths(seen) | {"Programmed": "True"} == {
        "Programmed": "True",
        "ModelsReady": "False",
        "GatewayReady": "True",
        "Ready": "True",
    }


def test_a_ladder_without_an_answer_makes_the_portfolio_unready():
    finding = status(desk(), observed({"handbook": "Loading"}), REVISION).finding("Ready")

    assert finding.status == "False"
    assert "intents[facts].ladder" in finding.message


def with_old_replicas(seen: Observed, name: str) -> Observed:
    """The old replicas of one model answer until its update does."""
    old = {"state": "Updating", "reason": OLD_REPLICAS, "message": "its old replicas answer"}
    told = [each.model_copy(update=old) if each.name == name else each for each in seen.gateway.models]
    return replace(seen, gateway=seen.gateway.model_copy(update={"models": tuple(told)}))


def test_old_replicas_keep_a_ladder_answering_while_their_update_starts():
    deploying = {"model-handbook": Application("model-handbook", "DEPLOYING", replicas=1)}
    seen = with_old_replicas(observed(applications=deploying), "handbook")

    assert (model("handbook", seen).state, model("handbook", seen).served_by) == ("Updating", "")
    assert truths(seen)["Ready"] == "True"
    assert truths(seen)["ModelsReady"] == "False"


def test_running_in_serve_is_no_proof():
    assert model("triage", observed({"triage": "Loading"})).state == "Loading"


def test_an_application_that_was_never_deployed_is_pending():
    seen = observed()
    without: dict[str, Any] = {name: app for name, app in seen.applications.items() if name != "model-triage"}

    assert model("triage", Observed(without, seen.gateway)).state == "Pending"


def test_too_few_gateway_replicas_are_counted():
    finding = status(desk(), observed(revisions=(REVISION,)), REVISION).finding("GatewayReady")

    assert finding.message == "1 of 2 gateway replicas answer"


def test_an_idle_model_counts_as_ready():
    assert truths(observed({"general": "Idle"}))["ModelsReady"] == "True"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("", ""),
        ("one line", "one line"),
        ("Traceback:\n  File x\nValueError: a\n  detail", "ValueError: a"),
        ("1 replicas take long.\nThis may be caused by a slow __init__.", "1 replicas take long."),
    ],
)
def test_the_line_that_matters_is_the_last_one_at_the_margin(message: str, line: str):
    assert last_line(message) == line


BUDGETS = [{"name": "day", "scope": "Portfolio", "window": "24h", "limit": {"requests": 9}}]


def budget_finding(used: float, *, counted: bool = True, redis: bool = True) -> tuple[str, str]:
    """Return truth and reason of BudgetAvailable of a portfolio of two gateway replicas."""
    edits: dict[str, Any] = {"budgets": BUDGETS} | ({"ray.redis": {"address": "redis:6379"}} if redis else {})
    told = [
        ReplicaState(
            replica=name,
            revision=REVISION,
            budgets=(BudgetState(name="day", unit="requests", used=spent, limit=9, counted=counted),),
        )
        for name, spent in (("a", 0.0), ("b", used))
    ]
    seen = Observed({}, GatewayState(replicas=tuple(told)))
    finding = status(desk({PORTFOLIO: edits}), seen, REVISION).finding("BudgetAvailable")
    return finding.status, finding.reason


def test_a_budget_is_available_until_one_replica_says_that_it_is_spent():
    assert budget_finding(8) == ("True", "Unspent")
    assert budget_finding(9) == ("False", "Spent")


def test_a_counter_that_is_silent_or_not_durable_leaves_it_unknown():
    assert budget_finding(0, counted=False) == ("Unknown", "CounterUnreachable")
    assert budget_finding(0, redis=False) == ("Unknown", "NotDurable")
    assert budget_finding(9, redis=False) == ("False", "Spent")


def test_without_budgets_nothing_is_said_of_them():
    assert "BudgetAvailable" not in truths(observed())


def test_unseen_budgets_are_unknown():
    found = status(desk({PORTFOLIO: {"budgets": BUDGETS}}), Observed(), REVISION)
    assert found.finding("BudgetAvailable").reason == "GatewayUnseen"


def waiting(seen: Observed, **seconds: float) -> Observed:
    """One of the gateway's replicas has waited for these models; the other has just started."""
    first, second = seen.gateway.replicas
    replicas = (first.model_copy(update={"waiting_seconds": seconds}), second)
    return replace(seen, gateway=seen.gateway.model_copy(update={"replicas": replicas}))


@pytest.mark.parametrize("engine", ["triage", "general", "contracts", "frontier"])
def test_a_model_that_takes_longer_than_it_may_is_failed_with_what_it_waits_for(engine: str):
    late = waiting(observed({engine: "Loading"}), **{engine: 1200.0})

    found = model(engine, late)

    assert (found.state, found.reason) == ("Failed", "StartupTimeout")
    assert found.message.startswith("not ready within startupTimeout (20m): ")
    assert model(engine, waiting(observed({engine: "Loading"}), **{engine: 1199.0})).state == "Loading"
    assert model(engine, waiting(observed(), **{engine: 1200.0})).state == "Ready"


def test_a_failed_model_keeps_the_reason_that_it_has():
    seen = observed(
        {"triage": "Failed"}, {"model-triage": Application("model-triage", "DEPLOY_FAILED", "no head")}
    )

    assert model("triage", waiting(seen, triage=1e6)).message == "no head"


def test_old_replicas_that_answer_are_not_failed_for_an_update_that_takes_too_long():
    blocked = {"gateway": Obstacle("gateway", "Quota", "no room")}
    seen = with_old_replicas(waiting(replace(observed(), blocked=blocked), handbook=1e6), "handbook")

    found = model("handbook", seen)
    assert (found.state, found.reason) == ("Updating", OLD_REPLICAS)
    assert found.message == "its old replicas answer: no room"
    assert truths(seen)["Ready"] == "True"


def test_an_update_in_place_is_no_next_version_while_another_model_has_one():
    seen = with_old_replicas(observed(revisions=("before", "before")), "handbook")
    coming = {"candidate": REVISION, "candidate_models": seen.gateway.models}
    replicas = tuple(each.model_copy(update=coming) for each in seen.gateway.replicas)
    seen = replace(seen, gateway=seen.gateway.model_copy(update={"replicas": replicas}))

    assert model("handbook", seen).reason == OLD_REPLICAS


def test_a_model_that_answers_stays_ready_while_its_next_application_is_not_there_yet():
    seen = observed(revisions=("before", "before"))
    without = {name: app for name, app in seen.applications.items() if name != "model-triage"}

    found = model("triage", replace(seen, applications=without))

    assert (found.state, found.reason) == ("Ready", "NextVersionStarting")


def with_waking(seen: Observed, name: str) -> Observed:
    """A model that slept is being woken."""
    woken = {"state": "Pending", "reason": WAKING, "message": "it was asked, and is being woken"}
    told = [each.model_copy(update=woken) if each.name == name else each for each in seen.gateway.models]
    return replace(seen, gateway=seen.gateway.model_copy(update={"models": tuple(told)}))


def test_a_model_that_is_being_woken_says_so_and_is_as_well_as_one_that_sleeps():
    seen = with_waking(observed(), "handbook")

    found = model("handbook", seen)
    assert (found.state, found.reason) == ("Pending", WAKING)
    assert (truths(seen)["ModelsReady"], truths(seen)["Ready"]) == ("True", "True")


def test_a_waking_model_whose_pods_find_no_room_says_that_too():
    seen = replace(
        with_waking(observed(), "handbook"), blocked={"gateway": Obstacle("gateway", "Quota", "no room")}
    )

    found = model("handbook", seen)
    assert (found.reason, found.message) == (WAKING, "it was asked, and is being woken: no room")


def test_a_model_that_is_woken_in_vain_is_failed():
    fails = Application("model-handbook", "UNHEALTHY", "Traceback:\n  File x\nOSError: no such file")
    found = model("handbook", with_waking(observed(applications={"model-handbook": fails}), "handbook"))
    assert (found.state, found.reason, found.message) == ("Failed", "Unhealthy", "OSError: no such file")

    slow = waiting(with_waking(observed(), "handbook"), handbook=1e6)
    assert (model("handbook", slow).state, model("handbook", slow).reason) == ("Failed", "StartupTimeout")


def tried_again(state: str = "Loading", said: str = "", **seen: Any) -> Observed:
    """A model whose file was missing starts once more; Serve says this of it now."""
    starting = {"model-triage": Application("model-triage", "DEPLOYING", said)}
    found = observed({"triage": state}, starting if state == "Loading" else {})
    return replace(found, last_failures={"triage": "OSError: no such file"}, **seen)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("", "tried again; last failure: OSError: no such file"),
        ("OSError: no such file", "tried again; last failure: OSError: no such file"),
        ("it takes long.", "it takes long; tried again; last failure: OSError: no such file"),
    ],
)
def test_a_model_that_is_tried_again_tells_why_it_failed(said: str, message: str):
    found = model("triage", tried_again(said=said))

    assert (found.state, found.reason, found.message) == ("Loading", "Retrying", message)
    assert last_failures([found.model_dump()]) == {"triage": "OSError: no such file"}


def test_a_failure_is_remembered_beside_what_keeps_the_next_try_from_beginning():
    late = waiting(tried_again(blocked={"gateway": Obstacle("gateway", "Quota", "no room")}), triage=1e6)
    found = model("triage", late)

    assert found.reason == "StartupTimeout"
    assert found.message.endswith("no room; tried again; last failure: OSError: no such file")
    assert last_failures([found.model_dump()]) == {"triage": "OSError: no such file"}


def test_a_model_that_answers_has_no_failure_whatever_is_told_beside_it():
    """It tells of its next version, which failed: read back, it would be told again, and longer each time."""
    beside = {
        "name": "triage",
        "state": "Ready",
        "message": "(tried again; last failure: OSError: no such file)",
    }

    assert last_failures([beside]) == {}


def test_a_failure_is_forgotten_once_the_model_answers():
    found = model("triage", tried_again("Ready"))

    assert (found.state, found.message) == ("Ready", "")
    assert last_failures([found.model_dump()]) == {}


@pytest.mark.parametrize(
    ("serve", "state"),
    [
        ("DEPLOYING", "Downloading"),
        ("RUNNING", "Downloading"),
        ("DEPLOY_FAILED", "Failed"),
        ("UNHEALTHY", "Failed"),
    ],
)
def test_a_download_is_told_unless_serve_gave_up(serve: Any, state: str):
    application = Application("model-triage", serve, "OSError: no space left")
    seen = observed({"triage": "Downloading"}, {"model-triage": application})

    assert model("triage", seen).state == state

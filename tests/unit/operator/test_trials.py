"""When a candidate is promoted, rejected, or tried for longer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.desk import POLICY, desk

from folio_api.rollout import Canary
from folio_api.table import GatewayState, ReplicaState, Trial
from folio_operator import trials

CANARY = Canary.model_validate(
    {"percent": 10, "duration": "30m", "abortOn": {"maxErrorRate": "0.02", "maxEscalationRate": "0.4"}}
)
LENIENT = Canary.model_validate({"percent": 1, "duration": "30m"})
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
HALF_AN_HOUR = timedelta(minutes=30)
NEVER = timedelta(days=365)


def trial(requests: int, errors: int = 0, escalations: int = 0, revision: str = "new") -> Trial:
    return Trial(revision=revision, requests=requests, errors=errors, escalations=escalations)


def replica(name: str = "a", **fields: Any) -> ReplicaState:
    return ReplicaState.model_validate({"replica": name, "revision": "old", "candidate": "new"} | fields)


def evidence(counts: Trial, *replicas: ReplicaState, since: datetime | None = BEGAN) -> trials.Evidence:
    return trials.Evidence(counts, GatewayState(replicas=replicas or (replica(),)), since)


def stands(
    found: trials.Evidence, after: timedelta = timedelta(), canary: Canary = CANARY
) -> tuple[str, str]:
    standing = trials.standing(canary, found, BEGAN + after)
    return standing.phase, standing.reason


def test_a_candidate_is_promoted_after_its_time_and_not_before() -> None:
    good = evidence(trial(500))
    assert stands(good, HALF_AN_HOUR - timedelta(seconds=1)) == ("Canary", "Trying")
    assert stands(good, HALF_AN_HOUR) == ("Promoted", "CanaryPassed")


def test_the_time_begins_when_every_replica_has_held_it() -> None:
    assert stands(evidence(trial(500), since=None), NEVER) == ("Deploying", "Converging")


def test_the_time_stands_still_while_no_replica_holds_it() -> None:
    elsewhere = (replica(candidate="next"), replica("b", candidate="next"))
    half = timedelta(minutes=15)
    interrupted = evidence(trial(500), *elsewhere).timed(BEGAN + half)
    assert interrupted.paused == BEGAN + half
    assert interrupted.timed(BEGAN + NEVER) == interrupted
    assert stands(interrupted, NEVER) == ("Canary", "Converging")
    assert "900 s of its 30m are left" in trials.standing(CANARY, interrupted, BEGAN + NEVER).message

    gone_on = replace(interrupted, gateway=evidence(trial(0)).gateway).timed(BEGAN + NEVER)
    assert gone_on.paused is None
    assert stands(gone_on, NEVER + half - timedelta(seconds=1)) == ("Canary", "Trying")
    assert stands(gone_on, NEVER + half) == ("Promoted", "CanaryPassed")


@pytest.mark.parametrize("told", [None, GatewayState(replicas=(replica(), replica("b", candidate=None)))])
def test_the_time_runs_on_while_a_replica_may_hold_it(told: GatewayState | None) -> None:
    found = replace(evidence(trial(500)), gateway=told)
    assert found.timed(BEGAN + HALF_AN_HOUR) == found


@pytest.mark.parametrize(
    "behind", [{"candidate": None}, {"revision": "", "candidate": None, "rejected": "gone"}]
)
def test_a_candidate_that_not_every_replica_holds_waits(behind: dict[str, Any]) -> None:
    assert stands(evidence(trial(500), replica(), replica("b", **behind)), NEVER) == ("Canary", "Converging")


def test_a_gateway_that_does_not_answer_decides_nothing() -> None:
    silent = replace(evidence(trial(500)), gateway=None)
    assert stands(silent, NEVER) == ("Canary", "Converging")


def test_a_candidate_that_fails_more_than_it_may_is_rejected_at_once_with_the_figures() -> None:
    assert stands(evidence(trial(100, errors=8))) == ("Rejected", "ErrorRate")
    assert stands(evidence(trial(100, errors=8), since=None)) == ("Rejected", "ErrorRate")
    assert stands(evidence(trial(100, escalations=60))) == ("Rejected", "EscalationRate")
    found = trials.standing(CANARY, evidence(trial(100, errors=8)), BEGAN)
    assert found.message == "8 of 100 requests failed (8.0%); maxErrorRate is 0.02"


def test_a_handful_of_requests_condemns_nobody_and_promotes_nobody() -> None:
    few = trials.LEAST_REQUESTS - 1
    assert stands(evidence(trial(few, errors=few))) == ("Canary", "Trying")
    assert stands(evidence(trial(few)), NEVER) == ("Canary", "TooLittleTraffic")
    assert stands(evidence(trial(0)), NEVER) == ("Canary", "TooLittleTraffic")
    assert stands(evidence(trial(few + 1)), NEVER) == ("Promoted", "CanaryPassed")


def test_a_rate_above_its_limit_that_may_be_chance_is_tried_for_longer() -> None:
    assert stands(evidence(trial(100, errors=3)), HALF_AN_HOUR) == ("Canary", "Undecided")
    assert stands(evidence(trial(150, errors=3)), HALF_AN_HOUR) == ("Promoted", "CanaryPassed")
    assert stands(evidence(trial(1000, errors=40)), HALF_AN_HOUR) == ("Rejected", "ErrorRate")


def test_nothing_to_abort_on_only_waits() -> None:
    bad = evidence(trial(100, errors=100))
    assert stands(bad, canary=LENIENT) == ("Canary", "Trying")
    assert stands(evidence(trial(0)), HALF_AN_HOUR, LENIENT) == ("Promoted", "CanaryPassed")


def test_a_table_that_one_gateway_cannot_use_is_rejected_at_once() -> None:
    refusing = replica("b", candidate=None, rejected="no such embedder", rejected_revision="new")
    assert stands(evidence(trial(0), replica(), refusing)) == ("Rejected", "TableRejected")


def test_what_a_replica_says_of_another_table_or_of_a_silent_peer_is_not_held_against_it() -> None:
    former = replica("b", candidate=None, rejected="no such embedder", rejected_revision="former")
    silent = replica("c", revision="", candidate=None, rejected="does not answer")
    assert stands(evidence(trial(0), former, silent, since=None)) == ("Deploying", "Converging")


def test_a_clock_that_went_back_only_makes_it_longer() -> None:
    assert stands(evidence(trial(500)), -HALF_AN_HOUR) == ("Canary", "Trying")


@given(of=st.integers(1, 5000), data=st.data())
def test_the_lower_bound_is_below_the_share_and_rises_with_the_evidence(of: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, of))
    bound = trials.lower_bound(count, of)
    assert 0 <= bound <= count / of + 1e-12
    assert trials.lower_bound(10 * count, 10 * of) >= bound - 1e-12


@pytest.mark.parametrize("requests", [20, 23, 24, 36, 1000])
def test_a_limit_of_zero_condemns_the_first_failure_and_nobody_without_one(requests: int) -> None:
    none = Canary.model_validate({"percent": 10, "duration": "30m", "abortOn": {"maxErrorRate": "0"}})
    assert stands(evidence(trial(requests)), HALF_AN_HOUR, none) == ("Promoted", "CanaryPassed")
    assert stands(evidence(trial(requests, errors=1)), canary=none) == ("Rejected", "ErrorRate")


def test_the_lower_bound_is_wilsons() -> None:
    assert trials.lower_bound(8, 100) == pytest.approx(0.033588, abs=1e-6)


def test_a_candidate_whose_notes_were_taken_off_began_when_it_was_made() -> None:
    body = trials.running(desk(), (), evidence(trial(0)))
    kept = {**body["metadata"], "annotations": {}, "creationTimestamp": "2026-01-01T00:00:00Z"}
    (found,) = trials.candidates([{**body, "metadata": kept}])
    assert (found.since, found.phase) == (BEGAN, "Canary")


def told(**by_replica: Trial) -> GatewayState:
    return GatewayState(replicas=tuple(replica(name, trials=(one,)) for name, one in by_replica.items()))


def test_what_replicas_told_before_they_went_still_counts() -> None:
    tallies, portfolio = trials.Tallies(), desk()
    tallies.note(portfolio, "new", told(a=trial(50, errors=4), b=trial(40)))
    found = tallies.note(portfolio, "new", told(b=trial(45), c=trial(1)))
    assert found == trial(96, errors=4)
    assert tallies.note(portfolio, "new", None) == found


def test_what_a_replica_told_before_it_let_go_of_the_candidate_still_counts() -> None:
    tallies, portfolio = trials.Tallies(), desk()
    for one in (trial(15, errors=4), trial(15, errors=4), trial(0), trial(3), trial(7, errors=1)):
        found = tallies.note(portfolio, "new", told(a=one))
    assert found == trial(22, errors=5)


def test_what_the_active_revision_does_is_not_counted() -> None:
    assert trials.Tallies().note(desk(), "new", told(a=trial(9, errors=9, revision="old"))) == trial(0)


def test_a_candidate_whose_table_changed_keeps_its_counts_and_another_candidate_has_none() -> None:
    tallies, portfolio = trials.Tallies(), desk()
    tallies.note(portfolio, "new", told(a=trial(50)))
    assert tallies.note(portfolio, "newer", told(a=trial(5, revision="newer"))).requests == 55
    other = desk({POLICY: {"limits.deadline": "21s"}})
    assert tallies.note(other, "other", told(a=trial(2, revision="other"))).requests == 2

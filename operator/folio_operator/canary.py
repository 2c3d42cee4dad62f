"""Which part of an edit a part of the traffic tries first, and what the portfolio says of that. Pure.

Only what the routing table alone tells of can be tried: the policy, and what a table says of models.
Guardrails and capacity hold for all of the traffic or for none, and replicas that an edit restarts serve both
tables; these go live at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from folio_api.table import GatewayState, Trial
from folio_api.types import duration_text
from folio_operator import checks, desired
from folio_operator.children import Manifest
from folio_operator.cluster import Body
from folio_operator.conditions import timestamp
from folio_operator.plan import PLANNED, Change, Effect, Plan
from folio_operator.render_table import routing_table
from folio_operator.serve_config import GATEWAY
from folio_operator.trials import (
    MOST_REJECTED,
    Candidate,
    Evidence,
    Standing,
    candidate_of,
    candidates,
    ended,
    running,
    served,
    standing,
)
from folio_operator.world import Portfolio


def base_of(portfolio: Portfolio, last: Portfolio) -> Portfolio | None:
    """Return what serves all other traffic while a part of it tries the edit; None: nothing is tried."""
    if portfolio.resource.spec.rollout.canary is None:
        return None
    wanted = desired.desired(portfolio, PLANNED)
    for base in _bases(portfolio, last):
        if checks.first_failure(base) is None:
            running = desired.desired(base, PLANNED)
            if _beside_table(running) == _beside_table(wanted):
                return base if running.table.revision != wanted.table.revision else None
    return None


def _bases(portfolio: Portfolio, last: Portfolio) -> Iterator[Portfolio]:
    """Yield the edit without what may be tried: policy and models, or the policy alone."""
    yield replace(portfolio, policy=last.policy, specialists={**portfolio.specialists, **last.specialists})
    yield replace(portfolio, policy=last.policy)


def _beside_table(rendered: desired.Desired) -> Any:
    applications = [
        {**each, "deployments": None} if each["name"] == GATEWAY else each
        for each in rendered.serve_config["applications"]
    ]
    cluster = rendered.ray_service["spec"]["rayClusterConfig"]
    return applications, cluster, rendered.copies


def canary_of(trying: Portfolio | None) -> desired.Canary | None:
    """Return the second table of a portfolio's gateways."""
    canary = trying.resource.spec.rollout.canary if trying else None
    return desired.Canary(routing_table(trying), canary.percent) if trying and canary else None


@dataclass(frozen=True)
class Course:
    """How a trial goes on."""

    standing: Standing
    seconds_left: float | None
    """Until its time is over; None: it has not begun, is interrupted, or is over."""
    note: Manifest | None
    """What is to be remembered of a beginning or an end."""


def course(
    trying: Portfolio, revisions: Iterable[Body], counts: Trial, gateway: GatewayState | None, now: datetime
) -> Course:
    """Return how the candidate stands; its time begins when every gateway replica holds it, and stands still
    while none does.
    """
    canary, every = trying.resource.spec.rollout.canary, tuple(revisions)
    assert canary is not None
    kept, known = served(every), candidate_of(trying, candidates(every))
    remembered = Evidence(counts, gateway, *((known.since, known.paused) if known else (None, None)))
    evidence = remembered.timed(now)
    found = standing(canary, evidence, now)
    if found.has_ended:
        return Course(found, 0.0, ended(trying, kept, evidence, found, now))
    left = evidence.seconds_left(canary, now)
    runs = evidence.since is not None and evidence.paused is None and left > 0
    note = running(trying, kept, evidence) if evidence != remembered else None
    return Course(found, left if runs else None, note)


def with_trial(found: Plan, portfolio: Portfolio, last: Portfolio, known: Iterable[Candidate] = ()) -> Plan:
    """Return the plan with what becomes of its part that is tried first."""
    canary = portfolio.resource.spec.rollout.canary
    if canary is None or base_of(portfolio, last) is None:
        return found
    mine = candidate_of(portfolio, known)
    if mine is not None and mine.phase == "Rejected":
        told = f"this very edit was rejected ({mine.message}): it is not tried again until an input changes"
    else:
        lasts = duration_text(canary.duration_seconds)
        told = f"{canary.percent} % of the traffic tries it for {lasts} before it goes live (rollout.canary)"
    return replace(found, changes=(*found.changes, Change(Effect.IN_PLACE, "canary", told)))


def candidate_status(trying: Portfolio, found: Standing) -> Manifest:
    """Return what the portfolio says of the revision that is tried."""
    canary = canary_of(trying)
    assert canary is not None
    return {
        "revision": canary.table.revision,
        "phase": found.phase,
        "percent": canary.percent,
        "reason": found.reason,
        "message": found.message,
    }


def rejected_status(known: Iterable[Candidate]) -> list[Manifest]:
    """Return the revisions that are not tried again, the newest first."""
    rejected = [each for each in known if each.phase == "Rejected"]
    return [
        {"revision": each.table, "reason": each.reason, "time": timestamp(each.since)}
        for each in rejected[:MOST_REJECTED]
    ]

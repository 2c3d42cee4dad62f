"""What to serve now: what people wrote if it is valid and approved, else what served last. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace

from folio_operator import checks
from folio_operator.applications import application
from folio_operator.canary import base_of
from folio_operator.children import Installation
from folio_operator.cluster import REVISION, Body, kind_of
from folio_operator.desired import Circumstances, desired
from folio_operator.drift import digest
from folio_operator.gather import Gathered, groups_of, has_gateway
from folio_operator.groups import without_counts, worker_groups
from folio_operator.manifests import ray_cluster
from folio_operator.plan import (
    PLANNED,
    SECOND_CLUSTER,
    Change,
    Effect,
    Plan,
    gpus_of,
    in_its_place,
    plan,
    renewal,
)
from folio_operator.rendered import rendered
from folio_operator.revisions import is_of, newest, restored
from folio_operator.serve_config import GATEWAY
from folio_operator.status import Finding
from folio_operator.succession import Asked
from folio_operator.trials import Candidate, candidate_of, candidates, served
from folio_operator.world import Observed, Portfolio

GROUPS = "folio.dev/groups"
"""Annotation of the RayService: digest of each worker group's pods, to know a pool that comes back."""


@dataclass(frozen=True)
class Decision:
    """The verdict on what people wrote, and what is to run."""

    accepted: Finding
    serving: Portfolio | None
    """None: nothing may run yet, and nothing ever did."""
    waiting: Plan | None = None
    """What needs somebody's approval first."""
    offered: Plan | None = None
    """What nobody asked for by an edit: another image or renderer, from an upgrade of the operator."""
    new_cluster: bool = False
    """The cluster is another one: neither what was rendered of it nor pools that were removed bind it."""
    begins_anew: bool = False
    """The RayService goes first, and comes again as it is wanted: KubeRay is not to make a second cluster."""
    trying: Portfolio | None = None
    """What a part of the traffic tries first."""
    condemned: Candidate | None = None
    """What people wrote, tried and rejected."""

    @property
    def is_live(self) -> bool:
        """Whether what people wrote is what serves."""
        return self.accepted.status == "True" and not (self.waiting or self.trying or self.condemned)


def decide(gathered: Gathered, installation: Installation) -> Decision:
    """Return what to serve; an invalid edit leaves the last good revision running."""
    portfolio, service = gathered.portfolio, gathered.service
    kept = newest(kept_revisions(gathered))
    if refused := _refused(gathered):
        return Decision(refused, restored(portfolio, kept))
    last = None if kept is None or is_of(kept, portfolio) else restored(portfolio, kept)
    tried = _tried(portfolio, last, tried_revisions(gathered))
    if service is None or tried.serving is None:
        return tried
    offered = _renewal(tried.serving, service, installation)
    if not has_gateway(service):  # nothing to disturb, and no second cluster: what keeps it down is put right
        differs = offered is not None
        return replace(tried, new_cluster=differs, begins_anew=differs)
    rollout = portfolio.resource.spec.rollout.new_cluster
    second = planned(portfolio, last, service) if last is not None else None
    if second is not None and second.effect is not Effect.NEW_CLUSTER:
        second = None
    asked_for = second or offered
    if asked_for is not None and rollout.approved_plan == asked_for.id:
        return replace(tried, new_cluster=True, begins_anew=rollout.strategy == "Recreate")
    if last is None or second is None:
        return replace(tried, offered=offered)
    besides = _renewal(last, service, installation)
    changes = (*second.changes, *(besides.changes if besides else ()))
    return Decision(tried.accepted, last, replace(second, changes=changes))


def _renewal(serving: Portfolio, service: Body, installation: Installation) -> Plan | None:
    held = rendered(service, ())
    return renewal(held, ray_cluster(serving, installation)) if held is not None else None


def _tried(portfolio: Portfolio, last: Portfolio | None, known: tuple[Candidate, ...]) -> Decision:
    """Return what serves of a valid edit, and what of it is tried first, where the portfolio has a canary."""
    accepted = Finding("Accepted", "True", "Valid")
    base = base_of(portfolio, last) if last is not None else None
    mine = candidate_of(portfolio, known)
    if base is None or (mine is not None and mine.phase == "Promoted"):
        return Decision(accepted, portfolio)
    if mine is not None and mine.phase == "Rejected":
        return Decision(accepted, base, condemned=mine)
    return Decision(accepted, base, trying=portfolio)


def planned(portfolio: Portfolio, last: Portfolio, service: Body) -> Plan:
    """Return what it takes to come from what serves to what is wanted."""
    found = plan(desired(portfolio, PLANNED), desired(last, PLANNED))
    held = rendered(service, ())
    groups = {group.name for group in held.groups} if held is not None else set()
    removed_once = groups - set(group_digests(last, None))
    wanted, written = group_digests(portfolio, None), group_digests(last, service)
    changes = [
        Change(Effect.NEW_CLUSTER, f"pool {name}", f"comes back with other pods: {SECOND_CLUSTER}")
        for name in sorted(removed_once & set(wanted))
        if wanted[name] != written.get(name)
    ]
    if changes:
        gpus = gpus_of(desired(portfolio, PLANNED).ray_service["spec"]["rayClusterConfig"])
        found = replace(found, changes=(*found.changes, *changes), extra_gpus=gpus)
    is_beside = portfolio.resource.spec.rollout.new_cluster.strategy == "BlueGreen"
    return found if is_beside else in_its_place(found)


def group_digests(portfolio: Portfolio, service: Body | None) -> dict[str, str]:
    """Return a digest of each worker group's pods: of the portfolio's own, and of those that a live
    RayService keeps empty since their pool was removed.
    """
    notes = ((service or {}).get("metadata") or {}).get("annotations") or {}
    kept = json.loads(notes.get(GROUPS, "{}"))
    own = worker_groups(portfolio, PLANNED.installation)
    return {**kept, **{group["groupName"]: digest(without_counts(group)) for group in own}}


def _refused(gathered: Gathered) -> Finding | None:
    for problem in gathered.problems:
        return Finding("Accepted", "False", problem.reason, problem.message)
    failure = checks.first_failure(gathered.portfolio)
    return Finding("Accepted", "False", failure.reason, str(failure)) if failure else None


def kept_revisions(gathered: Gathered) -> tuple[Body, ...]:
    """Return what served, as the API server keeps it."""
    return served(each for each in gathered.children if kind_of(each) is REVISION)


def tried_revisions(gathered: Gathered) -> tuple[Candidate, ...]:
    return candidates(each for each in gathered.children if kind_of(each) is REVISION)


def applications(asked: Asked, seen: Observed) -> Collection[str] | None:
    """Return which applications to ask for: the gateway alone until it runs, then all, for good.

    KubeRay calls a first cluster ready only when all applications run, so one bad model would block it.
    """
    gateway = seen.applications.get(GATEWAY)
    has_models = bool(set(asked.applications) - {GATEWAY})
    return None if has_models or (gateway is not None and gateway.state == "RUNNING") else (GATEWAY,)


def current_nonces(portfolio: Portfolio, asked: Asked) -> dict[str, str]:
    """Return the nonces that the models run with."""
    written = asked.nonces
    found = ((each.name, written.get(application(portfolio, each), "")) for each in portfolio.members)
    return {name: nonce for name, nonce in found if nonce}


def circumstances_of(gathered: Gathered, base: Circumstances) -> Circumstances:
    """Return the circumstances of this very portfolio: what stands of it, its live groups in their order."""
    return replace(base, held=rendered(gathered.service, groups_of(gathered.ray_cluster)))

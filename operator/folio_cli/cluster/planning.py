"""What applying files to a cluster would do there: the operator's own plan, with its own id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from folio_api.load import Loaded
from folio_api.meta import Key, Resource
from folio_api.model import SpecialistModel
from folio_api.parse import parse
from folio_api.policy import RoutingPolicy
from folio_api.portfolio import ModelPortfolio
from folio_cli import inputs
from folio_cli.cluster import reading
from folio_cli.exits import UsageProblem
from folio_operator.canary import with_trial
from folio_operator.cluster import Body
from folio_operator.decide import planned
from folio_operator.desired import desired
from folio_operator.gather import has_gateway
from folio_operator.plan import PLANNED, SECOND_CLUSTER, Change, Effect, Plan, plan
from folio_operator.revisions import newest, restored
from folio_operator.trials import candidates, served
from folio_operator.world import Portfolio

R = TypeVar("R", bound=Resource)
UNNAMED = "default"
"""The namespace that the loader gives to documents which name none."""


def plan_on(place: reading.Where, files: Sequence[Path], name: str | None) -> Plan:
    """Return the plan of these files, completed by what the namespace holds already."""
    loaded = inputs.loaded(files)
    if not (loaded.portfolios or loaded.policies or loaded.models):
        raise UsageProblem(
            "the files hold nothing of Folio's", ["name a ModelPortfolio, RoutingPolicy or SpecialistModel"]
        )
    held = reading.read(place, _written_namespace(loaded))
    return plan_against(held, loaded, name)


def plan_against(held: reading.Held, loaded: Loaded, name: str | None) -> Plan:
    """Return what applying the files to this namespace would do."""
    together = _together(held, loaded)
    written = sorted(each.key.name for each in loaded.portfolios.values())
    chosen = name or (written[0] if len(written) == 1 else None)
    accepted = inputs.checked(inputs.given(together, chosen), with_secrets=False, for_cluster=True)
    body, service = held.portfolio(accepted.key.name), held.service(accepted.key.name)
    kept = held.revisions_of(body) if body is not None else ()
    last = restored(accepted, newest(served(kept)))
    if last is None or service is None or not has_gateway(service):
        return plan(desired(accepted, PLANNED), None)
    wanted = _annotated(accepted, body)
    found = with_trial(planned(wanted, last, service), wanted, last, candidates(kept))
    return _with_offer(found, accepted, body)


def _with_offer(found: Plan, accepted: Portfolio, live: Body | None) -> Plan:
    """Return the plan beside what an upgraded operator offers, or with it where the files approve it."""
    status: dict[str, Any] = (live or {}).get("status") or {}
    waits = any(each["reason"] == "ApprovalRequired" for each in status.get("conditions") or ())
    if "plan" not in status or waits or found.effect is Effect.NEW_CLUSTER:
        return found
    written = status["plan"]
    change = Change(Effect.NEW_CLUSTER, "operator", written.get("message") or SECOND_CLUSTER)
    offered = Plan(written["id"], (change,), written.get("extraGPUs") or 0)
    if accepted.resource.spec.rollout.new_cluster.approved_plan != offered.id:
        return replace(found, offered=offered)
    return replace(offered, changes=(*found.changes, change))


def _written_namespace(loaded: Loaded) -> str | None:
    """Return the namespace that the files name, if they name one."""
    every = (*loaded.portfolios, *loaded.policies, *loaded.models)
    found = sorted({key.namespace for key in every} - {UNNAMED})
    if len(found) > 1:
        raise UsageProblem("the files name several namespaces", [f"plan one at a time: {', '.join(found)}"])
    return found[0] if found else None


def _together(held: reading.Held, loaded: Loaded) -> Loaded:
    """Return the files' objects over those of the cluster, all in its namespace."""
    written = _written_namespace(loaded)
    if written not in (None, held.namespace):
        raise UsageProblem(
            f"the files name namespace {written}, the command {held.namespace}", ["leave one of them out"]
        )
    return replace(
        loaded,
        portfolios=_merged(held, held.portfolios, ModelPortfolio, loaded.portfolios),
        policies=_merged(held, held.policies, RoutingPolicy, loaded.policies),
        models=_merged(held, held.models, SpecialistModel, loaded.models),
    )


def _merged(
    held: reading.Held, bodies: Sequence[Body], kind: type[R], written: Mapping[Key, R]
) -> dict[Key, R]:
    parsed = (
        parse({name: part for name, part in each.items() if name != "status"}).resource for each in bodies
    )
    there = {each.key: each for each in parsed if isinstance(each, kind)}
    moved = (_moved(each, held.namespace) for each in written.values())
    return {**there, **{each.key: each for each in moved}}


def _moved(resource: R, namespace: str) -> R:
    metadata = resource.metadata.model_copy(update={"namespace": namespace})
    return resource.model_copy(update={"metadata": metadata})


def _annotated(portfolio: Portfolio, live: Body | None) -> Portfolio:
    """Return the portfolio with the annotations that it keeps: an apply removes none that it never wrote."""
    notes: dict[str, Any] = ((live or {}).get("metadata") or {}).get("annotations") or {}
    resource = portfolio.resource
    kept = {**notes, **resource.metadata.annotations}
    metadata = resource.metadata.model_copy(update={"annotations": kept})
    return replace(portfolio, resource=resource.model_copy(update={"metadata": metadata}))

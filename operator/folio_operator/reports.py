"""The status of each of the three kinds as it is written: from what a pass found and what was said before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from folio_api.meta import Key
from folio_api.table import ModelState
from folio_operator.children import Manifest
from folio_operator.cluster import MODEL, Body, key_of
from folio_operator.conditions import conditions, timestamp
from folio_operator.obstacles import Gpus
from folio_operator.plan import Plan
from folio_operator.status import Finding, is_well
from folio_operator.world import Portfolio

Input = tuple[str, str]
"""Kind and name of an object that a portfolio is made of."""
PORTFOLIO_MEMBERS = (
    "observedGeneration",
    "url",
    "active",
    "candidate",
    "rejected",
    "plan",
    "gpus",
    "modelsReady",
    "conditions",
    "models",
)
"""Of a portfolio's status, in the order in which people read them."""
AT_REST = ("Unused", "Suspended")
"""Why a policy may be on no gateway without anything being on its way."""


@dataclass(frozen=True)
class Report:
    """What one pass found out about one portfolio."""

    key: Key
    findings: tuple[Finding, ...]
    judged: Mapping[Input, int | None]
    """Generation of every input as the pass saw it."""
    served: Mapping[Input, int | None] = field(default_factory=dict)
    """The same of what serves, which after an invalid edit is older."""
    models: tuple[ModelState, ...] = ()
    specialists: Mapping[str, str] = field(default_factory=dict)
    """Entry -> SpecialistModel."""
    confirmed: str | None = None
    """Revision that every gateway replica runs on."""
    plan: Plan | None = None
    """What waits for approval: an edit, or what an upgrade of the operator offers."""
    candidate: Manifest | None = None
    """What a part of the traffic tries."""
    rejected: Sequence[Manifest] = ()
    """What was tried, and is not tried again."""
    gpus: Gpus = field(default_factory=Gpus)

    def finding(self, kind: str) -> Finding | None:
        return next((each for each in self.findings if each.type == kind), None)


def judged_inputs(portfolio: Portfolio) -> dict[Input, int | None]:
    """Return the objects that the portfolio is made of, with their generations."""
    resources = [portfolio.resource, portfolio.policy, *(member.model for member in portfolio.members)]
    return {
        (type(each).__name__, each.key.name): each.metadata.generation
        for each in resources
        if each is not None
    }


def portfolio_status(report: Report, body: Body, now: datetime) -> Manifest:
    """Return the whole status of a ModelPortfolio."""
    before: Mapping[str, Any] = body.get("status") or {}
    generation = body["metadata"].get("generation")
    answering = sum(1 for state in report.models if is_well(state))
    status: Manifest = {
        "observedGeneration": generation,
        "url": f"http://{report.key.name}.{report.key.namespace}.svc:8000/v1",
        "active": _active(report, before.get("active"), now),
        "candidate": report.candidate,
        "rejected": list(report.rejected),
        "plan": _plan(report.plan),
        "gpus": _gpus(report.gpus, before.get("gpus")),
        "modelsReady": f"{answering}/{len(report.models)}" if report.models else None,
        "conditions": conditions(report.findings, before.get("conditions") or (), generation, now),
        "models": [_model_state(state) for state in sorted(report.models, key=lambda each: each.name)],
    }
    return {key: value for key, value in status.items() if value not in (None, [])}


def policy_status(body: Body, reports: Sequence[Report], now: datetime) -> Manifest:
    """Return the status of a RoutingPolicy over all its portfolios, each of which has been looked at."""
    generation = body["metadata"].get("generation")
    before: Mapping[str, Any] = body.get("status") or {}
    entries = {each["name"]: each for each in before.get("portfolios") or ()}
    ordered = sorted(reports, key=lambda each: each.key)
    own = _with_abnormal([_everywhere(kind, ordered) for kind in ("Accepted", "Programmed")], ordered)
    return {
        "observedGeneration": generation,
        "conditions": conditions(own, before.get("conditions") or (), generation, now),
        "portfolios": [
            _policy_entry(report, entries.get(report.key.name, {}), generation, now) for report in ordered
        ],
    }


def model_status(body: Body, reports: Sequence[Report], now: datetime) -> Manifest:
    """Return the status of a SpecialistModel over all portfolios that serve it."""
    generation, name = body["metadata"].get("generation"), key_of(body).name
    before: Mapping[str, Any] = body.get("status") or {}
    states = [(report, state) for report in reports for state in _states_of(report, name)]
    own = _of_model(reports, states, name)
    return {
        "observedGeneration": generation,
        "conditions": conditions(own, before.get("conditions") or (), generation, now),
        "portfolios": [
            _model_entry(report, state, name)
            for report, state in sorted(states, key=lambda each: each[0].key)
        ],
    }


def has_judged(report: Report, body: Body) -> bool:
    """Return whether the report is about this generation of a policy or a model."""
    subject = (body["kind"], key_of(body).name)
    return subject in report.judged and report.judged[subject] == body["metadata"].get("generation")


def _active(report: Report, before: Mapping[str, Any] | None, now: datetime) -> Mapping[str, Any] | None:
    if report.confirmed is None:
        return before
    same = before is not None and before.get("revision") == report.confirmed
    since = before["since"] if before is not None and same and "since" in before else timestamp(now)
    inputs = [
        {"kind": kind, "name": name, "generation": generation}
        for (kind, name), generation in sorted(report.served.items())
        if generation is not None
    ]
    if not inputs and same:
        return before
    return {"revision": report.confirmed, "since": since, **({"inputs": inputs} if inputs else {})}


def _plan(plan: Plan | None) -> Manifest | None:
    if plan is None:
        return None
    message = "; ".join(f"{change.subject}: {change.message}" for change in plan.changes)[:4096]
    return {"id": plan.id, "effect": plan.effect.title, "extraGPUs": plan.extra_gpus, "message": message}


def _gpus(gpus: Gpus, before: Mapping[str, Any] | None) -> Manifest | None:
    """Return the counts; nothing where a portfolio never had a GPU."""
    return asdict(gpus) if gpus.requested or before else None


def _model_state(state: ModelState) -> Manifest:
    written: Manifest = {"name": state.name, "state": state.state, "replicas": state.replicas}
    optional = {"reason": state.reason[:64], "message": state.message[:4096], "servedBy": state.served_by}
    return {**written, **{key: value for key, value in optional.items() if value}}


def _everywhere(kind: str, reports: Sequence[Report]) -> Finding:
    """Return what holds over all portfolios: the worst of them, named."""
    if not reports:
        return (
            Finding(kind, "Unknown", "Unused", "no portfolio names this policy")
            if kind == "Programmed"
            else Finding(kind, "True", "Readable")
        )
    found = [(report.key.name, finding) for report in reports if (finding := report.finding(kind))]
    name, worst = min(found, key=lambda each: (_rank(each[1]), each[0]))
    if worst.status == "True":
        return Finding(kind, "True", worst.reason)
    return Finding(kind, worst.status, worst.reason, f"portfolio {name}: {worst.message}")


def _rank(finding: Finding) -> int:
    """Return its place among the troubles, the worst first; one that people wish for is hardly any."""
    order = {"False": 0, "Unknown": 1, "True": 3}
    return 2 if finding.reason in AT_REST else order[finding.status]


def _with_abnormal(findings: Sequence[Finding], reports: Sequence[Report]) -> tuple[Finding, ...]:
    """Add Stalled where only people can help, Reconciling where time can."""
    by_type = {each.type: each for each in findings}
    accepted, programmed = by_type["Accepted"], by_type["Programmed"]
    if accepted.status == "False":
        return (*findings, Finding("Stalled", "True", accepted.reason, accepted.message))
    if programmed.status == "True" or programmed.reason in AT_REST:
        return tuple(findings)
    for report in reports:
        if stalled := report.finding("Stalled"):
            return (*findings, replace(stalled, message=f"portfolio {report.key.name}: {stalled.message}"))
    return (*findings, Finding("Reconciling", "True", programmed.reason, programmed.message))


def _policy_entry(
    report: Report, before: Mapping[str, Any], generation: int | None, now: datetime
) -> Manifest:
    findings = [each for kind in ("Accepted", "Programmed") if (each := report.finding(kind))]
    entry: Manifest = {
        "name": report.key.name,
        "conditions": conditions(findings, before.get("conditions") or (), generation, now),
    }
    return {**entry, "revision": report.confirmed} if report.confirmed else entry


def _of_model(
    reports: Sequence[Report], states: Sequence[tuple[Report, ModelState]], name: str
) -> Sequence[Finding]:
    """Return what holds of a model: a portfolio that refuses its newest edit serves a former one of it."""
    place = f"{MODEL.name}/{name} "
    for report in sorted(reports, key=lambda each: each.key):
        accepted = report.finding("Accepted")
        if accepted and accepted.status == "False" and accepted.message.startswith(place):
            refused = replace(accepted, message=f"portfolio {report.key.name}: {accepted.message}")
            return [refused, replace(refused, type="Ready"), replace(refused, type="Stalled", status="True")]
    return [Finding("Accepted", "True", "Readable"), _model_ready(states)]


def _states_of(report: Report, specialist: str) -> Iterable[ModelState]:
    """Return how the model fares in a portfolio: under its first name if it has several there."""
    found = [state for state in report.models if report.specialists.get(state.name) == specialist]
    return found[:1]


def _model_ready(states: Sequence[tuple[Report, ModelState]]) -> Finding:
    if not states:
        return Finding("Ready", "Unknown", "Unused", "no portfolio serves this model")
    waiting = [(report, state) for report, state in states if not is_well(state)]
    if not waiting:
        return Finding("Ready", "True", "Answering")
    report, state = waiting[0]
    detail = f" ({state.message or state.reason})" if state.message or state.reason else ""
    return Finding("Ready", "False", state.state, f"portfolio {report.key.name}: {state.state}{detail}")


def _model_entry(report: Report, state: ModelState, specialist: str) -> Manifest:
    generation = report.served.get((MODEL.name, specialist))
    entry: Manifest = {"name": report.key.name, "state": state.state}
    optional = {
        "observedGeneration": generation,
        "reason": state.reason[:64],
        "message": state.message[:4096],
    }
    return {**entry, **{key: value for key, value in optional.items() if value}}

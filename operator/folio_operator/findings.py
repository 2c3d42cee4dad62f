"""From one look at a portfolio to all that its status claims. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from folio_api.meta import Key
from folio_operator.canary import candidate_status, rejected_status
from folio_operator.decide import Decision, tried_revisions
from folio_operator.gather import Gathered
from folio_operator.render_table import routing_table
from folio_operator.reports import Report, judged_inputs
from folio_operator.status import ANSWERING, NEW_CLUSTER_FAILED, NEXT_FAILED, Finding, status
from folio_operator.trials import Candidate, Standing
from folio_operator.world import Observed

PROGRAMMED = ("Programmed", "ModelsReady", "GatewayReady", "Ready")


def report(
    gathered: Gathered,
    decision: Decision,
    seen: Observed,
    trouble: Finding | None,
    trial: Standing | None = None,
) -> Report:
    """Return what is true of a portfolio after its children were applied, or could not be."""
    asked = gathered.portfolio
    base = Report(
        key=asked.key,
        findings=_with_abnormal([decision.accepted, *_unserved(decision.accepted.reason)], decision, trouble),
        judged=judged_inputs(asked),
        specialists={entry.name: entry.specialist for entry in asked.resource.spec.models},
        plan=decision.waiting or decision.offered,
        candidate=candidate_status(decision.trying, trial) if decision.trying and trial else None,
        rejected=rejected_status(tried_revisions(gathered)),
    )
    if decision.serving is None:
        return base
    revision = routing_table(decision.serving).revision
    truth = status(decision.serving, seen, revision)
    findings = [trouble if trouble and each.type == trouble.type else each for each in truth.findings]
    findings = [_with_what_waits(each, decision, trial) for each in findings]
    return replace(
        base,
        findings=_with_abnormal([decision.accepted, *findings], decision, trouble),
        served=judged_inputs(decision.serving) if decision.is_live and truth.revision == revision else {},
        models=truth.models,
        confirmed=truth.revision,
    )


def suspended(gathered: Gathered, decision: Decision, waiting: Finding | None) -> Report:
    """Return the status of a portfolio whose Ray cluster is gone, or on its way."""
    message = waiting.message if waiting else "spec.suspend: no Ray cluster runs"
    reason = waiting.reason if waiting else "Suspended"
    findings = [decision.accepted, *(Finding(kind, "False", reason, message) for kind in PROGRAMMED)]
    trouble = waiting or (decision.accepted if decision.accepted.status == "False" else None)
    abnormal = _abnormal(trouble) if trouble else ()
    return Report(gathered.portfolio.key, (*findings, *abnormal), judged=judged_inputs(gathered.portfolio))


def leaving(key: Key, waiting: Finding) -> Report:
    """Return the status of a portfolio that is being deleted."""
    findings = [replace(waiting, type=kind) for kind in PROGRAMMED]
    return Report(key, (*findings, *_abnormal(waiting)), judged={})


def _abnormal(trouble: Finding) -> tuple[Finding, ...]:
    """Return Stalled where only people can help, Reconciling where time can."""
    kind = "Reconciling" if trouble.reason == "Deleting" else "Stalled"
    return (replace(trouble, type=kind, status="True"),)


def _with_what_waits(finding: Finding, decision: Decision, trial: Standing | None) -> Finding:
    """The newest inputs are not what the gateways run on, however unanimous they are."""
    if finding.type != "Programmed":
        return finding
    if decision.waiting:
        message = "the last approved revision keeps serving"
        return Finding("Programmed", "False", "ApprovalRequired", message)
    if finding.status != "True":
        return finding
    if decision.accepted.status == "False":
        return replace(decision.accepted, type="Programmed")
    if decision.condemned:
        return Finding("Programmed", "False", "CanaryRejected", _rejection(decision.condemned))
    return Finding("Programmed", "False", "Canary", trial.message) if trial else finding


def _rejection(condemned: Candidate) -> str:
    why = f"revision {condemned.table} was rejected: {condemned.message}"
    return f"the active revision keeps serving, for {why}; write another edit"


def _unserved(reason: str) -> Iterable[Finding]:
    message = "nothing serves: no valid revision was ever applied"
    return (
        Finding("Programmed", "False", reason, message),
        Finding("ModelsReady", "False", reason, message),
        Finding("GatewayReady", "False", reason, message),
        Finding("Ready", "False", reason, message),
    )


def _with_abnormal(
    findings: list[Finding], decision: Decision, trouble: Finding | None
) -> tuple[Finding, ...]:
    """Add Stalled where only people can help, Reconciling where time can."""
    if decision.accepted.status == "False":
        return (*findings, replace(decision.accepted, type="Stalled", status="True"))
    if trouble is not None:
        return (*findings, *_abnormal(trouble))
    if waiting := _waits_for_people(decision):
        return (*findings, waiting)
    by_type = {each.type: each for each in findings}
    if by_type["Programmed"].reason in (NEXT_FAILED, NEW_CLUSTER_FAILED):
        return (*findings, replace(by_type["Programmed"], type="Stalled", status="True"))
    for kind in ("Programmed", "ModelsReady"):
        finding = by_type[kind]
        if finding.status != "True" and finding.reason != "Degraded":
            return (*findings, replace(finding, type="Reconciling", status="True"))
    return tuple(findings)


def _waits_for_people(decision: Decision) -> Finding | None:
    if decision.condemned is not None:
        return Finding("Stalled", "True", "CanaryRejected", _rejection(decision.condemned))
    if decision.waiting is not None:
        plan = decision.waiting
        gpus = f", with {plan.extra_gpus} GPUs more" if plan.extra_gpus else ""
        message = f"the edit needs another Ray cluster{gpus}: write {plan.approval} to go on"
        return Finding("Stalled", "True", "ApprovalRequired", message)
    return None


def is_converged(found: Report) -> bool:
    """Return whether nothing is on its way: what is failed for good, or waits for people, counts too."""
    abnormal = {each.type for each in found.findings}
    starting = any(state.state not in (*ANSWERING, "Failed") for state in found.models)
    return "Reconciling" not in abnormal and not starting

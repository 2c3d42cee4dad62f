"""What is true of a portfolio, from what was asked for and what was seen. Ray's own word is never taken as
proof.

A model is Ready when the gateway got an answer out of it; what Serve says explains why it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from folio_api.table import OLD_REPLICAS, WAKING, GatewayState, ModelState
from folio_api.types import duration_text
from folio_operator import effective
from folio_operator.applications import application as application_of
from folio_operator.last_failure import TRIED_AGAIN, after_failure
from folio_operator.succession import next_version
from folio_operator.world import Application, Blocked, Member, Observed, Portfolio

Truth = Literal["True", "False", "Unknown"]
ANSWERING = ("Ready", "Idle")
ON_THE_WAY = ("Pending", "Downloading", "Loading", "Updating")
LATE = "StartupTimeout"
NEXT_STARTING, NEXT_FAILED = "NextVersionStarting", "NextVersionFailed"
"""Reasons of a model that answers while its next version does not."""
NEW_CLUSTER_STARTING, NEW_CLUSTER_FAILED = "NewClusterStarting", "NewClusterFailed"
GATEWAY, HEAD = "gateway", "head"
SERVES_GUESS = "This may be caused by"
SERVE_REASONS = (
    *("Starting", "Downloading", TRIED_AGAIN, "NotDeployed", "NoReplica", "Unseen", "Unconfirmed"),
    "",
)
"""What is said of a model that is simply on its way; any other reason is one to act on."""


@dataclass(frozen=True)
class Finding:
    """A condition before anybody asked since when it holds."""

    type: str
    status: Truth
    reason: str
    message: str = ""


def absent(why: str) -> Finding:
    message = f"nothing is done about the RayService: {why}; start KubeRay, or install it"
    return Finding("Programmed", "False", "KubeRayAbsent", message)


@dataclass(frozen=True)
class Status:
    """The status of a portfolio."""

    revision: str | None
    """The revision that every gateway replica confirms; None while they differ or are silent."""
    models: tuple[ModelState, ...]
    findings: tuple[Finding, ...]

    def finding(self, kind: str) -> Finding:
        return next(each for each in self.findings if each.type == kind)


def status(portfolio: Portfolio, observed: Observed, revision: str) -> Status:
    """Return the truth about a portfolio whose wanted routing table has this revision."""
    states = {member.name: _state(portfolio, member, observed, revision) for member in portfolio.members}
    models = tuple(_with_stand_in(portfolio, state, states) for state in states.values())
    confirmed = confirmed_revision(observed.gateway)
    findings = (
        _programmed(observed, revision, models),
        _models_ready(models),
        _gateway_ready(portfolio, observed),
        _ready(portfolio, states, observed),
        *_budget_available(portfolio, observed.gateway),
    )
    return Status(confirmed, models, findings)


def confirmed_revision(gateway: GatewayState | None) -> str | None:
    """Return the one revision that all gateway replicas run on."""
    revisions = {replica.revision for replica in gateway.replicas} if gateway else set()
    return revisions.pop() if len(revisions) == 1 else None


def is_well(state: ModelState) -> bool:
    """Tell whether a model does what it should: it answers, sleeps as it may, or wakes for whoever asked."""
    return state.state in ANSWERING or state.reason == WAKING


def answers(state: ModelState) -> bool:
    """Tell whether a model answers now or on demand, be it by replicas that an update has yet to replace."""
    return is_well(state) or state.reason == OLD_REPLICAS


def last_line(message: str) -> str:
    """Return the line of a traceback that says what is wrong: the last one that is not indented, nor Serve's
    guess at the cause of what it said.
    """
    besides = (" ", "\t", SERVES_GUESS)
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.startswith(besides)]
    return lines[-1] if lines else ""


def _state(portfolio: Portfolio, member: Member, observed: Observed, revision: str) -> ModelState:
    host = portfolio.base(member) if member.engine == "adapter" else member
    seen = next(
        (
            state
            for state in (observed.gateway.models if observed.gateway else ())
            if state.name == member.name
        ),
        None,
    )
    if host is None or not effective.has_own_application(host):
        silent = ModelState(name=member.name, state="Pending", reason="Unseen")
        return _in_time(member, seen or silent, observed.gateway)
    told = observed.coming if seen is None and observed.coming else observed.applications
    application = told.get(application_of(portfolio, host))
    coming = next_version(observed.gateway, revision, member.name)
    is_missing = application is None and bool(observed.applications)
    if coming is None and is_missing and confirmed_revision(observed.gateway) != revision:
        coming = ModelState(name=member.name, state="Pending", reason="NotDeployed")
    is_next = seen is not None and answers(seen) and coming is not None and not answers(coming)
    word = coming if is_next else seen
    if word is None or observed.applications:
        word = _with_cause(member, application, word)
    found = _with_last_failure(_with_obstacle(host, word, observed), observed)
    found = _in_time(member, found, observed.gateway)
    return _beside(seen, found) if seen is not None and is_next else found


def _with_obstacle(host: Member, state: ModelState, observed: Observed) -> ModelState:
    """Return what keeps a model on its way, where it is not Serve but its pods."""
    blocked = _blocked(observed, f"pool-{host.entry.pool}" if host.entry.pool else GATEWAY, HEAD)
    if state.state not in ON_THE_WAY or blocked is None:
        return state
    if answers(state):
        return state.model_copy(update={"message": f"{state.message}: {blocked.message}"})
    return state.model_copy(update={"reason": blocked.reason, "message": blocked.message})


def _with_last_failure(state: ModelState, observed: Observed) -> ModelState:
    cause = observed.last_failures.get(state.name)
    if cause is None or state.state not in ON_THE_WAY or state.reason == OLD_REPLICAS:
        return state
    return after_failure(state, cause)


def _in_time(member: Member, state: ModelState, gateway: GatewayState | None) -> ModelState:
    """Call a model Failed that gateways have waited for longer than it may take; it may still come up."""
    replicas = gateway.replicas if gateway else ()
    waited = max((each.waiting_seconds.get(member.name, 0.0) for each in replicas), default=0.0)
    limit = member.entry.startup_timeout_seconds
    if state.state not in ON_THE_WAY or state.reason == OLD_REPLICAS or waited < limit:
        return state
    why = state.message or "the replica's log says why"
    message = f"not ready within startupTimeout ({duration_text(limit)}): {why}"
    return state.model_copy(update={"state": "Failed", "reason": LATE, "message": message})


def _blocked(observed: Observed, *roles: str) -> Blocked | None:
    return next((observed.blocked[role] for role in roles if role in observed.blocked), None)


def _beside(seen: ModelState, coming: ModelState) -> ModelState:
    """Return the state of a model that answers, with what keeps its next version from doing so."""
    why = coming.message or coming.reason
    message = f"its next version is {coming.state} ({why}); this one answers until it does"
    reason = NEXT_FAILED if coming.state == "Failed" else NEXT_STARTING
    state = seen.state if seen.state in ANSWERING else "Ready"
    return seen.model_copy(update={"state": state, "reason": reason, "message": message})


def _with_cause(member: Member, application: Application | None, seen: ModelState | None) -> ModelState:
    """Return what the gateway knows, with Serve's reason where Serve knows better why it does not answer."""
    if application is None:
        return ModelState(name=member.name, state="Pending", reason="NotDeployed")
    woken_in_vain = application.state == "UNHEALTHY" and seen is not None and seen.reason == WAKING
    if application.state == "DEPLOY_FAILED" or woken_in_vain:
        return _failed(member, application)
    fetches = seen is not None and (seen.state, application.state) == ("Downloading", "DEPLOYING")
    if seen is not None and (answers(seen) or fetches or application.state == "RUNNING"):
        return seen.model_copy(update={"replicas": seen.replicas or application.replicas})
    if application.state == "UNHEALTHY" and application.replicas == 0:
        return _failed(member, application)
    state: Literal["Loading", "Pending"] = "Pending" if application.state == "NOT_STARTED" else "Loading"
    message = last_line(application.message)
    reason = "Unconfirmed" if application.state == "RUNNING" else "Starting"
    return ModelState(
        name=member.name, state=state, replicas=application.replicas, reason=reason, message=message
    )


def _failed(member: Member, application: Application) -> ModelState:
    reason = "DeployFailed" if application.state == "DEPLOY_FAILED" else "Unhealthy"
    return ModelState(
        name=member.name,
        state="Failed",
        replicas=application.replicas,
        reason=reason,
        message=_why(application),
    )


def _why(application: Application) -> str:
    return last_line(application.message) or "no reason was given: see the replica's log"


def _with_stand_in(portfolio: Portfolio, state: ModelState, states: Mapping[str, ModelState]) -> ModelState:
    """Name the model that answers instead: the next one of the first ladder that has this one."""
    if answers(state) or state.served_by:
        return state
    for ladder in portfolio.ladders:
        names = [rung.model for rung in ladder.rungs]
        if state.name in names:
            below = [*names[names.index(state.name) + 1 :], *names[: names.index(state.name)]]
            ready = [name for name in below if answers(states[name])]
            return state.model_copy(update={"served_by": ready[0]}) if ready else state
    return state


def _unseen(observed: Observed, kind: str, truth: Truth, reason: str) -> Finding:
    """Return why no gateway answers: its pods' trouble or the head's, where there is any."""
    blocked = _blocked(observed, HEAD, GATEWAY)
    if blocked is None:
        return Finding(kind, truth, reason, "no gateway replica answers")
    return Finding(kind, truth, blocked.reason, f"no gateway replica answers: {blocked.message}")


def _programmed(observed: Observed, revision: str, models: tuple[ModelState, ...]) -> Finding:
    gateway = observed.gateway
    if gateway is None:
        return _failed_there(observed) or _unseen(observed, "Programmed", "Unknown", "GatewayUnseen")
    behind = [replica for replica in gateway.replicas if replica.revision != revision]
    rejected = next((replica.rejected for replica in behind if replica.rejected), None)
    if rejected:
        return Finding("Programmed", "False", "Rejected", f"the last good revision keeps serving: {rejected}")
    if observed.coming is not None:
        return _failed_there(observed) or _moving(observed)
    if behind and all(replica.candidate == revision for replica in behind):
        return _coming(revision, models)
    if behind:
        message = f"{len(behind)} of {len(gateway.replicas)} gateway replicas do not run on {revision} yet"
        return Finding("Programmed", "False", "Converging", message)
    return Finding("Programmed", "True", "Confirmed", f"every gateway replica runs on {revision}")


def _failed_there(observed: Observed) -> Finding | None:
    """Return what fails in a cluster that comes up, if it does: KubeRay waits for all of its applications."""
    told = sorted((observed.coming or {}).items())
    failed = [f"{name}: {_why(each)}" for name, each in told if each.state == "DEPLOY_FAILED"]
    message = f"in the new Ray cluster {'; '.join(failed)}"
    return Finding("Programmed", "False", NEW_CLUSTER_FAILED, message) if failed else None


def _moving(observed: Observed) -> Finding:
    blocked = _blocked(observed, HEAD, GATEWAY, *observed.blocked)
    why = f": {blocked.message}" if blocked else ""
    message = f"a new Ray cluster comes up, and the one before it serves until it does{why}"
    return Finding("Programmed", "False", NEW_CLUSTER_STARTING, message)


def _budget_available(portfolio: Portfolio, gateway: GatewayState | None) -> tuple[Finding, ...]:
    """Return what is true of the budgets that the whole portfolio shares; nothing where it has no budget."""
    if not portfolio.resource.spec.budgets:
        return ()
    seen = [state for replica in (gateway.replicas if gateway else ()) for state in replica.budgets]
    spent = sorted({state.name for state in seen if state.is_spent})
    silent = sorted({state.name for state in seen if not state.counted})
    if spent:
        message = f"spent until its window ends: {', '.join(spent)}; raise its limit, or wait"
        return (Finding("BudgetAvailable", "False", "Spent", message),)
    if gateway is None:
        return (Finding("BudgetAvailable", "Unknown", "GatewayUnseen", "no gateway replica answers"),)
    if silent:
        message = f"the counter of {', '.join(silent)} does not answer, and onExceeded applies meanwhile"
        return (Finding("BudgetAvailable", "Unknown", "CounterUnreachable", message),)
    if portfolio.resource.spec.ray.redis is None:
        message = "what was spent is forgotten when the Ray head is lost: write ray.redis to keep it"
        return (Finding("BudgetAvailable", "Unknown", "NotDurable", message),)
    return (Finding("BudgetAvailable", "True", "Unspent"),)


def _coming(revision: str, models: tuple[ModelState, ...]) -> Finding:
    """Return why the gateways hold the wanted table and do not route by it yet."""
    coming = [state for state in models if state.reason in (NEXT_STARTING, NEXT_FAILED)]
    told = "; ".join(f"{state.name}: {state.message}" for state in coming) or "any moment now"
    failed = any(state.reason == NEXT_FAILED for state in coming)
    message = f"{revision} follows when the models that it names answer: {told}"
    return Finding("Programmed", "False", NEXT_FAILED if failed else NEXT_STARTING, message)


def _models_ready(models: tuple[ModelState, ...]) -> Finding:
    waiting = [state for state in models if not is_well(state)]
    if not waiting:
        return Finding("ModelsReady", "True", "AllReady")
    named = "; ".join(_described(state) for state in waiting)
    if any(state.state == "Failed" for state in waiting):
        return Finding("ModelsReady", "False", "Degraded", named)
    blocked = (state.reason for state in waiting if state.reason not in SERVE_REASONS)
    return Finding("ModelsReady", "False", next(blocked, "Loading"), named)


def _described(state: ModelState) -> str:
    stand_in = f", {state.served_by} stands in" if state.served_by else ""
    why = f" ({state.message or state.reason})" if state.message or state.reason else ""
    return f"{state.name} is {state.state}{why}{stand_in}"


def _gateway_ready(portfolio: Portfolio, observed: Observed) -> Finding:
    wanted = portfolio.resource.spec.gateway.min_replicas
    if observed.gateway is None:
        return _unseen(observed, "GatewayReady", "False", "NoAnswer")
    answering = len(observed.gateway.replicas)
    if answering < wanted:
        blocked = _blocked(observed, GATEWAY, HEAD)
        why = f": {blocked.message}" if blocked else ""
        return Finding(
            "GatewayReady", "False", "TooFew", f"{answering} of {wanted} gateway replicas answer{why}"
        )
    return Finding("GatewayReady", "True", "Answering")


def _ready(portfolio: Portfolio, states: Mapping[str, ModelState], observed: Observed) -> Finding:
    if observed.gateway is None:
        return _unseen(observed, "Ready", "False", "NoGateway")
    dark = [
        ladder.path
        for ladder in portfolio.ladders
        if not any(answers(states[rung.model]) for rung in ladder.rungs)
    ]
    if dark:
        return Finding("Ready", "False", "NoRungAnswers", f"no rung of {', '.join(dark)} answers yet")
    return Finding("Ready", "True", "Answering", "every ladder has a rung that answers")

"""How a candidate fares, and what a ControllerRevision remembers of it. Pure but for what it adds up.

The record outlives the operator: a restarted one goes on where the former one stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from folio_api.meta import Key
from folio_api.rollout import Canary
from folio_api.table import GatewayState, Trial
from folio_api.types import duration_text
from folio_operator.children import Manifest
from folio_operator.cluster import Body
from folio_operator.revisions import INPUTS_LABEL, inputs_digest, revision
from folio_operator.world import Portfolio

PHASE_LABEL = "folio.dev/phase"
"""On the ControllerRevision of a candidate, until it is what serves."""
NOTE = "folio.dev/canary-"
MOST_REJECTED = 5
LEAST_REQUESTS = 20
Z = 2.576
"""Of 99 %: a look every few seconds is many looks, and each may err."""

Phase = Literal["Canary", "Promoted", "Rejected"]


@dataclass(frozen=True)
class Candidate:
    """What a ControllerRevision remembers of a revision that was tried."""

    body: Body

    @property
    def inputs(self) -> str:
        return str(self.body["metadata"]["labels"][INPUTS_LABEL])

    @property
    def phase(self) -> Phase:
        phase: Phase = self.body["metadata"]["labels"][PHASE_LABEL]
        return phase

    @property
    def table(self) -> str:
        """The revision that gateways knew it by."""
        return self._note("table")

    @property
    def since(self) -> datetime:
        """Return when every gateway replica first held it, later by what it was interrupted; of one that was
        ruled on, when.

        Where somebody took the note off, when it was made: that is when its trial began.
        """
        return datetime.fromisoformat(self._note("since") or self.body["metadata"]["creationTimestamp"])

    @property
    def paused(self) -> datetime | None:
        """Return since when no gateway replica holds it any more."""
        written = self._note("paused")
        return datetime.fromisoformat(written) if written else None

    @property
    def reason(self) -> str:
        return self._note("reason")

    @property
    def message(self) -> str:
        return self._note("message")

    def _note(self, name: str) -> str:
        notes: Mapping[str, str] = self.body["metadata"].get("annotations") or {}
        return notes.get(f"{NOTE}{name}", "")


@dataclass(frozen=True)
class Evidence:
    """What is known of a candidate."""

    counts: Trial
    gateway: GatewayState | None
    since: datetime | None
    """When every gateway replica first held it, later by what it was interrupted; None: not yet."""
    paused: datetime | None = None
    """Since when none holds it any more."""

    @property
    def table(self) -> str:
        """The revision that gateways know it by."""
        return self.counts.revision

    @property
    def is_held(self) -> bool:
        """Whether every gateway replica holds it now."""
        return self.gateway is not None and all(
            each.candidate == self.table for each in self.gateway.replicas
        )

    @property
    def is_dropped(self) -> bool:
        """Whether no gateway replica holds it now; one that does not answer may."""
        told = self.gateway.replicas if self.gateway else ()
        return bool(told) and all(each.candidate != self.table for each in told)

    def timed(self, now: datetime) -> Evidence:
        """Return the evidence with its time as it runs now: not while no gateway can try the candidate.

        While a model moves, gateways hold the table that it moves to.
        """
        if self.since is None:
            return replace(self, since=now) if self.is_held else self
        if self.paused is None:
            return replace(self, paused=now) if self.is_dropped else self
        if self.is_held:
            return replace(self, since=self.since + (now - self.paused), paused=None)
        return self

    def seconds_left(self, canary: Canary, now: datetime) -> float:
        """Return how long it is still to be tried."""
        if self.since is None:
            return float(canary.duration_seconds)
        tried = (self.paused or now) - self.since
        return canary.duration_seconds - tried.total_seconds()

    @property
    def refused(self) -> str | None:
        """Return why a gateway replica cannot use it."""
        told = self.gateway.replicas if self.gateway else ()
        return next((each.rejected for each in told if each.rejected_revision == self.table), None)


@dataclass(frozen=True)
class Standing:
    """How a trial goes, or how it ended."""

    phase: Literal["Deploying", "Canary", "Promoted", "Rejected"]
    reason: str
    message: str = ""

    @property
    def has_ended(self) -> bool:
        return self.phase in ("Promoted", "Rejected")


def candidates(kept: Iterable[Body]) -> tuple[Candidate, ...]:
    """Return the revisions that are or were tried, the newest first; not those that served."""
    found = (Candidate(each) for each in kept if PHASE_LABEL in each["metadata"]["labels"])
    return tuple(sorted(found, key=lambda each: each.since, reverse=True))


def served(kept: Iterable[Body]) -> tuple[Body, ...]:
    """Return the revisions that were accepted for all of the traffic."""
    return tuple(each for each in kept if PHASE_LABEL not in each["metadata"]["labels"])


def candidate_of(portfolio: Portfolio, known: Iterable[Candidate]) -> Candidate | None:
    inputs = inputs_digest(portfolio)
    return next((each for each in known if each.inputs == inputs), None)


def standing(canary: Canary, evidence: Evidence, now: datetime) -> Standing:
    """Return whether to promote a candidate, to reject it, or why to wait."""
    if evidence.refused:
        return Standing("Rejected", "TableRejected", f"a gateway cannot use it: {evidence.refused}")
    if condemned := _condemned(canary, evidence.counts):
        return condemned
    lasts = duration_text(canary.duration_seconds)
    if evidence.since is None:
        message = (
            f"revision {evidence.table} is on its way to the gateways; its {lasts} begin when all hold it"
        )
        return Standing("Deploying", "Converging", message)
    left = evidence.seconds_left(canary, now)
    if left > 0 and evidence.paused:
        message = (
            f"no gateway replica holds revision {evidence.table} just now: {math.ceil(left)} s of its {lasts}"
            " are left, and go on when all hold it again"
        )
        return Standing("Canary", "Converging", message)
    if left > 0:
        message = f"{canary.percent} % of the traffic tries revision {evidence.table} for {lasts}"
        return Standing("Canary", "Trying", message)
    return _after_its_time(
        canary, evidence, f"the {lasts} of revision {evidence.table} are over: it goes live"
    )


def _after_its_time(canary: Canary, evidence: Evidence, message: str) -> Standing:
    """Return what a candidate waits for that nothing condemns: unseen is not good, nor is a rate above its
    limit that may be chance.
    """
    if not evidence.is_held:
        return Standing("Canary", "Converging", f"{message} when every gateway replica holds it")
    if canary.abort_on is not None and evidence.counts.requests < LEAST_REQUESTS:
        why = f"when {LEAST_REQUESTS} requests have tried it, or at once without rollout.canary"
        return Standing("Canary", "TooLittleTraffic", f"{message} {why}")
    above = next((each.field for each in _rates(canary, evidence.counts) if each.share > each.limit), None)
    if above is not None:
        why = f"when more requests have shown that it keeps below {above}, which it does not yet"
        return Standing("Canary", "Undecided", f"{message} {why}")
    return Standing("Promoted", "CanaryPassed")


def _condemned(canary: Canary, counts: Trial) -> Standing | None:
    if counts.requests < LEAST_REQUESTS:
        return None
    for rate in _rates(canary, counts):
        if lower_bound(rate.count, rate.of) > rate.limit:
            told = f"{rate.count} of {rate.of} requests {rate.did} ({rate.share:.1%})"
            return Standing("Rejected", rate.reason, f"{told}; {rate.field} is {rate.limit:g}")
    return None


@dataclass(frozen=True)
class _Rate:
    reason: str
    did: str
    field: str
    count: int
    of: int
    limit: float

    @property
    def share(self) -> float:
        return self.count / self.of if self.of else 0.0


def _rates(canary: Canary, counts: Trial) -> Iterable[_Rate]:
    """Return the rates that have a limit."""
    abort, of = canary.abort_on, counts.requests
    if abort is not None and abort.max_error_rate is not None:
        limit = float(abort.max_error_rate)
        yield _Rate("ErrorRate", "failed", "maxErrorRate", counts.errors, of, limit)
    if abort is not None and abort.max_escalation_rate is not None:
        did, limit = "went past their first rung", float(abort.max_escalation_rate)
        yield _Rate("EscalationRate", did, "maxEscalationRate", counts.escalations, of, limit)


def lower_bound(count: int, of: int) -> float:
    """Return what a share is at least, with 99.5 % confidence: Wilson's score interval."""
    if not count:  # of nothing it is 0 and not what rounding leaves: a limit may be 0
        return 0.0
    share, z2 = count / of, Z * Z
    centre = share + z2 / (2 * of)
    spread = Z * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return (centre - spread) / (1 + z2 / of)


def running(portfolio: Portfolio, kept: Iterable[Body], evidence: Evidence) -> Manifest:
    """Return the ControllerRevision of a candidate whose trial has begun, or is interrupted, or goes on."""
    times = {"since": evidence.since, "paused": evidence.paused}
    notes = {name: time.isoformat() for name, time in times.items() if time is not None}
    return _marked(revision(portfolio, kept), "Canary", {"table": evidence.table, **notes})


def ended(
    portfolio: Portfolio, kept: Iterable[Body], evidence: Evidence, found: Standing, now: datetime
) -> Manifest:
    """Return the ControllerRevision of a candidate whose trial ended."""
    notes = {"table": evidence.table, "since": now.isoformat()}
    phase: Phase = "Promoted" if found.phase == "Promoted" else "Rejected"
    return _marked(
        revision(portfolio, kept), phase, {**notes, "reason": found.reason, "message": found.message}
    )


def forgotten(known: Iterable[Candidate], inputs: str | None) -> tuple[Body, ...]:
    """Return the candidates of other inputs than these, and the rejected ones beyond the newest few."""
    listed = tuple(known)
    replaced = [each for each in listed if each.phase != "Rejected" and each.inputs != inputs]
    rejected = [each for each in listed if each.phase == "Rejected"]
    return tuple(each.body for each in (*replaced, *rejected[MOST_REJECTED:]))


def _marked(manifest: Manifest, phase: Phase, notes: Mapping[str, str]) -> Manifest:
    metadata = manifest["metadata"]
    annotations = {f"{NOTE}{name}": text for name, text in notes.items()}
    return {
        **manifest,
        "metadata": {
            **metadata,
            "labels": {**metadata["labels"], PHASE_LABEL: phase},
            "annotations": {**metadata.get("annotations", {}), **annotations},
        },
    }


@dataclass
class Tallies:
    """Counts of each candidate over all gateway replicas that ever held it.

    A replica that restarts, or is scaled away, takes its own counts with it, and one that let go of the
    candidate for a while begins at nothing; what it told is kept here. Forgotten at a restart of
    the operator, after which only the replicas of today tell.
    """

    _counts: dict[Key, tuple[str, dict[tuple[str, str], list[Trial]]]] = field(default_factory=dict)
    """By replica and table, a count for each time that it held it."""

    def note(self, portfolio: Portfolio, table: str, gateway: GatewayState | None) -> Trial:
        """Return how the candidate has fared; its table may be another one than when it began."""
        inputs = inputs_digest(portfolio)
        known, counts = self._counts.get(portfolio.key, ("", {}))
        counts = counts if known == inputs else {}
        for replica in gateway.replicas if gateway else ():
            found = next((trial for trial in replica.trials if trial.revision == table), None)
            if found is not None:
                times = counts.setdefault((replica.replica, table), [found])
                if found.requests < times[-1].requests:
                    times.append(found)
                times[-1] = found
        self._counts[portfolio.key] = (inputs, counts)
        told = [each for times in counts.values() for each in times]
        return Trial(
            revision=table,
            requests=sum(each.requests for each in told),
            errors=sum(each.errors for each in told),
            escalations=sum(each.escalations for each in told),
        )

    def forget(self, portfolio: Key) -> None:
        self._counts.pop(portfolio, None)

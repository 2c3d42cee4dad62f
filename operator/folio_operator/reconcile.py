"""One pass over one object: observe, decide, apply, report. It never asks what changed, only what is missing.

Expected trouble ends in a condition; an API server that is down or busy raises, and the queue tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from folio_api.meta import Key
from folio_api.table import GatewayState
from folio_operator.applications import application
from folio_operator.apply import Applier, is_owned
from folio_operator.canary import Course, course
from folio_operator.children import Installation, Manifest, gateway_secret
from folio_operator.cluster import (
    POD,
    PORTFOLIO,
    RAY_CLUSTER,
    RAY_SERVICE,
    REVISION,
    SECRET,
    Body,
    kind_of,
)
from folio_operator.decide import decide
from folio_operator.exposure import exposure
from folio_operator.extras import Extras
from folio_operator.findings import is_converged, leaving, report, suspended
from folio_operator.gateways import Gateways
from folio_operator.gather import (
    Gathered,
    Gatherer,
    Problem,
    gateway_trouble,
    has_gateway,
    observed,
    referenced,
)
from folio_operator.giving_up import Patience
from folio_operator.kuberay import is_untouched
from folio_operator.last_failure import last_failures
from folio_operator.leaving import Leaver
from folio_operator.monitoring import pod_monitors
from folio_operator.obstacles import Deaths, gpus, obstacles
from folio_operator.pod_secrets import internal_token
from folio_operator.realize import Realizer, Retold
from folio_operator.refusals import hindrance, unless_refused
from folio_operator.render_table import routing_table
from folio_operator.reports import Report
from folio_operator.resting import Rest, looked, telling
from folio_operator.status import Finding, absent
from folio_operator.store import Store
from folio_operator.trials import Tallies
from folio_operator.world import Application, Observed, Portfolio


@dataclass(frozen=True)
class Rhythm:
    """Seconds between two looks at what sends no events."""

    converging: float = 2.0
    soonest: float = 0.4
    """After an edit of the RayService: gateways take most edits within a second."""
    converged: float = 30.0
    refused: float = 60.0
    """After the API server refused something that a person must put right."""
    leaving: float = 5.0
    untouched: float = 15.0
    """While KubeRay has not said that it saw the newest RayService: an event will tell when it does."""


class Reporter(Protocol):
    """Writes statuses; see statuses.py."""

    async def portfolio(self, body: Body, found: Report) -> Mapping[str, Any]:
        """Return the status as it is stored."""

    def forget(self, portfolio: Key) -> None: ...


@dataclass
class Reconciler:
    """Passes over portfolios. Everything it meets is an argument; what it remembers may be lost."""

    applier: Applier
    leaver: Leaver
    gatherer: Gatherer
    realizer: Realizer
    gateways: Gateways
    reporter: Reporter
    installation: Installation
    monotonic: Callable[[], float]
    rhythm: Rhythm = field(default_factory=Rhythm)
    patience: Patience = field(default_factory=Patience)
    deaths: Deaths = field(default_factory=Deaths)
    tallies: Tallies = field(default_factory=Tallies)
    _rests: dict[Key, Rest] = field(default_factory=dict)
    _edited: dict[Key, tuple[int, float]] = field(default_factory=dict)
    """The generation of each RayService, and when it was first seen."""

    def __post_init__(self) -> None:
        self.extras = Extras(self.applier, self.monotonic)

    async def reconcile(self, key: Key) -> float | None:
        """Run one pass; return the seconds until the next, None where an event will tell."""
        body = self.applier.store.get(PORTFOLIO, key)
        if body is None:
            self._forget(key)
            return None
        if body["metadata"].get("deletionTimestamp"):
            return await self._see_off(key, body)
        rest = self._rests.get(key)
        if rest is not None and await self._is_at_rest(key, rest):
            return self._sooner(key, rest.after)
        gathered = await unless_refused(self.gatherer.gather(body))
        if isinstance(gathered, Problem):
            await self.reporter.portfolio(body, _unreadable(key, gathered))
            return self.rhythm.refused
        if gathered.portfolio.resource.spec.suspend:
            return await self._suspend(body, gathered)
        begin = self._greet if _is_new(body, gathered) else self._serve
        return await begin(body, gathered)

    def _forget(self, key: Key) -> None:
        """A portfolio is gone: its children go by their owner reference."""
        self._rests.pop(key, None)
        self._edited.pop(key, None)
        self.patience.forget(key)
        self.leaver.kuberay.forget(key)
        self.realizer.drains.forget(key)
        self.tallies.forget(key)
        self.gatherer.forget_portfolio(key)
        self.reporter.forget(key)

    async def _see_off(self, key: Key, body: Body) -> float | None:
        """A portfolio is on its way out: its finalizer goes once its Ray cluster is gone, not before."""
        waiting = await hindrance(self.leaver.leave(body))
        if waiting is None:
            return None
        await self.reporter.portfolio(body, leaving(key, waiting))
        return self.rhythm.leaving

    async def _suspend(self, body: Body, gathered: Gathered) -> float | None:
        """Free what costs money, and keep everything that people or clients know."""
        self.patience.forget(gathered.portfolio.key)
        waiting = await hindrance(self.leaver.leave(body))
        decision = decide(gathered, self.installation)
        await self.realizer.forget_trials(gathered, None)
        await self.reporter.portfolio(body, suspended(gathered, decision, waiting))
        return self.rhythm.leaving if waiting else None

    async def _greet(self, body: Body, gathered: Gathered) -> float:
        """Say what there is to say before anything is made; the work waits until others were told as much.

        Where nothing hinders it, the work changes nothing of what is said here.
        """
        decision = decide(gathered, self.installation)
        status = await self.reporter.portfolio(body, report(gathered, decision, Observed(), None))
        is_told = status.get("observedGeneration") is not None  # else it was deleted meanwhile
        return 0.0 if is_told else self.rhythm.converging

    async def _is_at_rest(self, key: Key, rest: Rest) -> bool:
        """Return whether nothing that the last pass looked at is another, and nothing is due."""
        if self.monotonic() >= rest.until:
            return False
        store, reader = self.applier.store, self.gatherer.reader
        if rest.versions != rest.looked.versions(store, reader) or rest.status != _status(store, key):
            return False
        return telling(await self._ask_gateway(key, rest.looked.gateway_secret)) == rest.gateway

    async def _serve(self, body: Body, gathered: Gathered) -> float | None:
        """Run a pass, and remember it where it changed nothing."""
        key, store, reader = gathered.portfolio.key, self.applier.store, self.gatherer.reader
        seen = looked(gathered.portfolio, tuple(referenced(gathered.portfolio)))
        before = seen.versions(store, reader)
        status, gateway, due, poll = await self._pass(body, gathered)
        after = min((each for each in (due, poll) if each is not None), default=None)
        if before == seen.versions(store, reader) and has_gateway(gathered.service):
            waits = [reader.seconds_until_due(*each) for each in seen.own_secrets]
            until = self.monotonic() + min([*waits, *([due] if due is not None else [])])
            self._rests[key] = Rest(seen, before, status, telling(gateway), until, after)
        else:
            self._rests.pop(key, None)
        return self._sooner(key, after)

    async def _pass(
        self, body: Body, gathered: Gathered
    ) -> tuple[Mapping[str, Any], GatewayState | None, float | None, float | None]:
        """Return the status, what the gateway said, and in how many seconds something is due and it is asked
        again.
        """
        decision = decide(gathered, self.installation)
        key = gathered.portfolio.key
        secret = Key(key.namespace, gateway_secret(gathered.portfolio))
        seen = replace(self._look(body, gathered), gateway=await self._ask_gateway(key, secret))
        again, retry_seconds = self.patience.due(key, _left_to_us(gathered, seen), self.monotonic())
        trouble = None
        if decision.begins_anew and gathered.service is not None and is_owned(gathered.service, body):
            self.realizer.drains.forget(key)
            trouble = await hindrance(self.leaver.leave(body))
            if trouble is None:  # the next pass makes it
                return body.get("status") or {}, seen.gateway, 0.0, None
        elif decision.serving is not None:
            retold = Retold(again, seen.gateway)
            trouble = await hindrance(
                self.realizer.realize(body, gathered, decision, decision.serving, retold)
            )
        trouble = trouble or await self._neglected(body, gathered)
        trial, trial_seconds = None, None
        if decision.trying is None:
            self.tallies.forget(key)
        elif trouble is None:
            taken = self._try(gathered, decision.trying, seen.gateway)
            if taken.note is not None:
                trouble = await hindrance(self.applier.apply(body, taken.note))
            if trouble is None:
                trial, trial_seconds = taken.standing, taken.seconds_left
            if trial is not None and trial.has_ended:  # the next pass does what follows, and tells of it
                return body.get("status") or {}, seen.gateway, 0.0, None
        pods = self.applier.store.children(key, (POD,))
        found = replace(report(gathered, decision, seen, trouble, trial), gpus=gpus(pods))
        extras = self._extras(decision.serving) if decision.serving is not None else []
        if exposed := await self.extras.apply(body, extras):
            found = replace(found, findings=(*found.findings, exposed))
        status = await self.reporter.portfolio(body, found)
        extra_seconds = self.extras.seconds_until_due(extras)
        due = self._due_seconds(gathered, trouble, retry_seconds, extra_seconds, trial_seconds)
        return status, seen.gateway, due, self._poll_seconds(gathered, found)

    def _try(self, gathered: Gathered, trying: Portfolio, gateway: GatewayState | None) -> Course:
        counts = self.tallies.note(trying, routing_table(trying).revision, gateway)
        revisions = [each for each in gathered.children if kind_of(each) is REVISION]
        return course(trying, revisions, counts, gateway, self.leaver.kuberay.now())

    def _look(self, body: Body, gathered: Gathered) -> Observed:
        """Return what Serve said through KubeRay, and what keeps pods from running."""
        key, now = gathered.portfolio.key, self.monotonic()
        pods, clusters = (self.applier.store.children(key, (kind,)) for kind in (POD, RAY_CLUSTER))
        troubles = (
            *self.deaths.recent(key, now),
            *gateway_trouble(gathered.service),
            *obstacles(pods, clusters, self.leaver.kuberay.now()),
        )
        return replace(
            observed(gathered.service, None),
            blocked={each.role: each for each in troubles},
            last_failures=last_failures((body.get("status") or {}).get("models") or ()),
        )

    def _extras(self, serving: Portfolio) -> list[Manifest]:
        way_in = exposure(serving)
        return [*([way_in] if way_in else []), *pod_monitors(serving, self.installation)]

    async def _neglected(self, body: Body, gathered: Gathered) -> Finding | None:
        """Return why KubeRay does nothing about the RayService, if it does nothing."""
        service = self.applier.store.get(RAY_SERVICE, gathered.portfolio.key)
        if service is None:
            return None
        if service["metadata"].get("deletionTimestamp"):  # by somebody: ours comes once it is gone
            return await hindrance(self.leaver.leave(body))
        absence = await self.leaver.kuberay.neglect(service)
        return absent(absence) if absence else None

    async def _ask_gateway(self, key: Key, secret: Key) -> GatewayState | None:
        if not has_gateway(self.applier.store.get(RAY_SERVICE, key)):
            return None
        token = internal_token(await self.gatherer.reader.read(SECRET, secret))
        return await self.gateways.state(key, token) if token else None

    def _poll_seconds(self, gathered: Gathered, found: Report) -> float | None:
        """Return when to ask the gateway again, of whom no event tells."""
        if has_gateway(gathered.service):
            return self.rhythm.converged if is_converged(found) else self.rhythm.converging
        exists = self.applier.store.get(RAY_SERVICE, gathered.portfolio.key) is not None
        return self.rhythm.converged if exists else None

    def _sooner(self, key: Key, after: float | None) -> float | None:
        """Return less than the poll of what converges while the RayService's edit is young: as much as went
        by since, so that the gateway is asked often at first, and then ever more seldom.
        """
        service = self.applier.store.get(RAY_SERVICE, key)
        if service is None or after != self.rhythm.converging:
            return after
        generation, now = service["metadata"].get("generation", 0), self.monotonic()
        if key not in self._edited or self._edited[key][0] != generation:
            self._edited[key] = (generation, now)
        return min(max(now - self._edited[key][1], self.rhythm.soonest), after)

    def _due_seconds(
        self, gathered: Gathered, trouble: Finding | None, *others: float | None
    ) -> float | None:
        """Return when to look again even if nobody says anything new."""
        waits: list[float | None] = [
            *others,
            self.realizer.drains.seconds_until(gathered.portfolio.key, self.monotonic()),
            self.gatherer.seconds_until_due(gathered.portfolio),
        ]
        if trouble is not None:
            waits.append(self.rhythm.refused)
        service = self.applier.store.get(RAY_SERVICE, gathered.portfolio.key)
        if service is not None and is_untouched(service):
            waits.append(self.rhythm.untouched)
        now = self.monotonic()
        waits.append(self.deaths.seconds_until_over(gathered.portfolio.key, now))
        finite = [each for each in waits if each is not None and each != float("inf")]
        return max(min(finite), 0.0) if finite else None


def _left_to_us(gathered: Gathered, seen: Observed) -> Mapping[str, Application]:
    """Return the applications of the cluster that what is asked for goes to: the one that comes up where one
    does. Those that are unhealthy and have replicas are Serve's, which goes on replacing them.
    """
    if seen.coming is not None:
        return seen.coming
    counts = {each.name: each.replicas for each in (seen.gateway.models if seen.gateway else ())}
    portfolio = gathered.portfolio
    alive = {application(portfolio, each) for each in portfolio.members if counts.get(each.name)}
    return {
        name: each
        for name, each in seen.applications.items()
        if each.state != "UNHEALTHY" or name not in alive
    }


def _status(store: Store, key: Key) -> Mapping[str, Any] | None:
    body = store.get(PORTFOLIO, key)
    return body.get("status") if body is not None else None


def _is_new(body: Body, gathered: Gathered) -> bool:
    return gathered.service is None and (body.get("status") or {}).get("observedGeneration") is None


def _unreadable(key: Key, problem: Problem) -> Report:
    finding = Finding("Accepted", "False", problem.reason, problem.message)
    return Report(key, (finding, replace(finding, type="Stalled", status="True")), judged={})

"""One pass over one object: observe, decide, apply, report. It never asks what changed, only what is missing.

Expected trouble ends in a condition; an API server that is down or busy raises, and the queue tries again.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from folio_api.meta import Key
from folio_api.table import GatewayState
from folio_operator.apply import (
    Applier,
    NameConflictError,
    refusal,
    with_notes,
)
from folio_operator.bounds import bounds_patch, workers
from folio_operator.canary import Course, canary_of, course
from folio_operator.children import Manifest, gateway_secret, models_secret, ray_token_secret
from folio_operator.cluster import (
    POD,
    PORTFOLIO,
    RAY_CLUSTER,
    RAY_SERVICE,
    REVISION,
    SECRET,
    ApiError,
    Body,
    kind_of,
)
from folio_operator.decide import (
    GROUPS,
    Decision,
    applications,
    circumstances_of,
    current_nonces,
    decide,
    group_digests,
    kept_revisions,
    tried_revisions,
)
from folio_operator.desired import Circumstances, Desired, desired
from folio_operator.exposure import exposure
from folio_operator.extras import Extras, is_extra
from folio_operator.findings import is_converged, leaving, report, suspended
from folio_operator.gateways import Gateways
from folio_operator.gather import (
    Gathered,
    Gatherer,
    Problem,
    asked,
    gateway_trouble,
    groups_of,
    has_gateway,
    observed,
    referenced,
)
from folio_operator.giving_up import Patience
from folio_operator.kuberay import is_untouched
from folio_operator.leaving import Leaver
from folio_operator.monitoring import pod_monitors
from folio_operator.obstacles import Deaths, gpus, obstacles
from folio_operator.pod_secrets import internal_token, new_token, pod_secrets
from folio_operator.render_table import routing_table
from folio_operator.rendered import (
    carried,
    is_of_other_renderer,
    notes_of,
    rendered,
    renderer_of,
    running_config,
)
from folio_operator.reports import Report
from folio_operator.resting import Rest, looked, telling
from folio_operator.retry import retried
from folio_operator.revisions import inputs_digest, newest, outlived, restored, revision
from folio_operator.serve_text import TEXTS
from folio_operator.status import Finding, absent
from folio_operator.store import Store
from folio_operator.succession import Drains, Past
from folio_operator.trials import Tallies, forgotten
from folio_operator.world import Application, Observed, Portfolio


@dataclass(frozen=True)
class Rhythm:
    """Seconds between two looks at what sends no events."""

    converging: float = 2.0
    converged: float = 30.0
    refused: float = 60.0
    """After the API server refused something that a person must put right."""
    leaving: float = 5.0
    untouched: float = 15.0
    """While KubeRay has not said that it saw the newest RayService: an event will tell when it does."""


@dataclass(frozen=True)
class Retold:
    """What is true of what runs, as far as it decides what is asked for next."""

    again: dict[str, Application]
    """Applications that failed and are due for another try."""
    gateway: GatewayState | None


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
    gateways: Gateways
    reporter: Reporter
    base: Circumstances
    monotonic: Callable[[], float]
    rhythm: Rhythm = field(default_factory=Rhythm)
    mint: Callable[[], str] = new_token
    patience: Patience = field(default_factory=Patience)
    deaths: Deaths = field(default_factory=Deaths)
    drains: Drains = field(default_factory=Drains)
    tallies: Tallies = field(default_factory=Tallies)
    _rests: dict[Key, Rest] = field(default_factory=dict)

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
            return rest.after
        gathered = await self._gather(body)
        if isinstance(gathered, Problem):
            await self.reporter.portfolio(body, _unreadable(key, gathered))
            return self.rhythm.refused
        if gathered.portfolio.resource.spec.suspend:
            return await self._suspend(body, gathered)
        return await self._serve(body, gathered)

    async def _gather(self, body: Body) -> Gathered | Problem:
        try:
            return await self.gatherer.gather(body)
        except ApiError as error:
            if error.passes_by_itself:
                raise
            return Problem(*refusal(error))

    def _forget(self, key: Key) -> None:
        """A portfolio is gone: its children go by their owner reference."""
        self._rests.pop(key, None)
        self.patience.forget(key)
        self.leaver.kuberay.forget(key)
        self.drains.forget(key)
        self.tallies.forget(key)
        self.gatherer.reader.forget(key)
        self.reporter.forget(key)

    async def _see_off(self, key: Key, body: Body) -> float | None:
        """A portfolio is on its way out: its finalizer goes once its Ray cluster is gone, not before."""
        waiting = await self._leave(body)
        if waiting is None:
            return None
        await self.reporter.portfolio(body, leaving(key, waiting))
        return self.rhythm.leaving

    async def _suspend(self, body: Body, gathered: Gathered) -> float | None:
        """Free what costs money, and keep everything that people or clients know."""
        waiting = await self._leave(body)
        decision = decide(gathered, self.base.installation)
        await self._forget_trials(gathered, None)
        await self.reporter.portfolio(body, suspended(gathered, decision, waiting))
        return self.rhythm.leaving if waiting else None

    async def _leave(self, body: Body) -> Finding | None:
        try:
            return await self.leaver.leave(body)
        except ApiError as error:
            if error.passes_by_itself:
                raise
            return Finding("Programmed", "False", *refusal(error))

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
        return after

    async def _pass(
        self, body: Body, gathered: Gathered
    ) -> tuple[Mapping[str, Any], GatewayState | None, float | None, float | None]:
        """Return the status, what the gateway said, and in how many seconds something is due and it is asked
        again.
        """
        decision = decide(gathered, self.base.installation)
        key = gathered.portfolio.key
        secret = Key(key.namespace, gateway_secret(gathered.portfolio))
        seen = replace(self._look(gathered), gateway=await self._ask_gateway(key, secret))
        again, retry_seconds = self.patience.due(key, seen.applications, self.monotonic())
        trouble = None
        if decision.serving is not None:
            retold = Retold(again, seen.gateway)
            trouble = await self._hindrance(self._apply(body, gathered, decision, decision.serving, retold))
        trouble = trouble or await self._neglected(body, gathered)
        trial, trial_seconds = None, None
        if decision.trying is None:
            self.tallies.forget(key)
        elif trouble is None:
            taken = self._try(gathered, decision.trying, seen.gateway)
            if taken.note is not None:
                trouble = await self._hindrance(self.applier.apply(body, taken.note))
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

    def _look(self, gathered: Gathered) -> Observed:
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
        )

    async def _hindrance(self, work: Awaitable[object]) -> Finding | None:
        """Do it, or return why it cannot be done if only a person can help."""
        try:
            await work
        except NameConflictError as conflict:
            return Finding("Programmed", "False", "NameConflict", str(conflict))
        except ApiError as error:
            if error.passes_by_itself:
                raise
            return Finding("Programmed", "False", *refusal(error))
        return None

    def _extras(self, serving: Portfolio) -> list[Manifest]:
        way_in = exposure(serving)
        return [*([way_in] if way_in else []), *pod_monitors(serving, self.base.installation)]

    async def _neglected(self, body: Body, gathered: Gathered) -> Finding | None:
        """Return why KubeRay does nothing about the RayService, if it does nothing."""
        service = self.applier.store.get(RAY_SERVICE, gathered.portfolio.key)
        if service is None:
            return None
        if service["metadata"].get("deletionTimestamp"):  # by somebody: ours comes once it is gone
            return await self._leave(body)
        absence = await self.leaver.kuberay.neglect(service)
        return absent(absence) if absence else None

    async def _apply(
        self,
        body: Body,
        gathered: Gathered,
        decision: Decision,
        serving: Portfolio,
        retold: Retold,
    ) -> None:
        """Bring about what ought to be."""
        wanted = self._wanted(gathered, decision, serving, retold)
        await self._apply_secrets(body, gathered, serving)
        for manifest in wanted.manifests:
            if manifest["kind"] == RAY_SERVICE.name:
                before = None if decision.new_cluster else gathered.service
                await self._apply_service(body, gathered, serving, before, manifest)
            elif not is_extra(manifest):
                await self.applier.apply(body, manifest)
        await self._bound(gathered, wanted, serving.resource.spec.max_gpus)
        is_approved = decision.accepted.status == "True" and decision.waiting is None
        if is_approved:
            await self._keep(body, gathered, serving)
        await self._forget_trials(gathered, inputs_digest(gathered.portfolio) if is_approved else None)
        await self.applier.prune(body, gathered.children, wanted.manifests)

    async def _bound(self, gathered: Gathered, wanted: Desired, ceiling: int | None) -> None:
        """Bring the bounds of the worker groups to the RayCluster that runs."""
        live = gathered.ray_cluster
        if live is None:
            return
        groups = wanted.ray_service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        present = workers(self.applier.store.children(gathered.portfolio.key, (POD,)), live)
        if operations := bounds_patch(groups, groups_of(live), present, ceiling):
            await self.applier.patch(live, operations)

    def _wanted(self, gathered: Gathered, decision: Decision, serving: Portfolio, retold: Retold) -> Desired:
        nonces = current_nonces(serving, gathered.service)
        circumstances = replace(
            self.base if decision.new_cluster else circumstances_of(gathered, self.base),
            nonces=retried(nonces, serving, retold.again),
            applications=applications(gathered.service, observed(gathered.service, None)),
            past=None if decision.new_cluster else self._past(gathered, retold),
            canary=canary_of(decision.trying),
        )
        wanted = desired(serving, circumstances)
        if not decision.new_cluster and is_of_other_renderer(gathered.service):
            last = restored(serving, newest(kept_revisions(gathered))) or serving
            before = replace(circumstances, nonces=nonces)
            wanted = _carried(gathered, desired(last, before), wanted)
        self.drains.note(serving.key, wanted.succession, retold.gateway, self.monotonic())
        return wanted

    def _past(self, gathered: Gathered, retold: Retold) -> Past:
        drained = self.drains.over(gathered.portfolio.key, self.monotonic())
        return Past(asked(gathered.service), retold.gateway, drained)

    async def _apply_secrets(self, body: Body, gathered: Gathered, serving: Portfolio) -> None:
        names = [each(serving) for each in (gateway_secret, models_secret, ray_token_secret)]
        read = self.gatherer.reader.read
        found = {name: await read(SECRET, Key(serving.key.namespace, name)) for name in names}
        existing = {name: held for name, held in found.items() if held is not None}
        files = gathered.files
        if serving is not gathered.portfolio:  # the last good one may name others than the newest
            files = {**await self.gatherer.files(serving), **files}
        for manifest in pod_secrets(serving, files, existing, self.mint):
            await self.applier.apply(body, manifest)

    async def _apply_service(
        self, body: Body, gathered: Gathered, serving: Portfolio, before: Body | None, manifest: Manifest
    ) -> None:
        groups = json.dumps(group_digests(serving, before), sort_keys=True)
        held = rendered(before, ())
        image = held.image if held is not None else self.base.installation.serving_image
        cluster = manifest["spec"]["rayClusterConfig"]
        notes = notes_of(cluster, image, *((renderer_of(before),) if before is not None else ()))
        leaving = gathered.service is not None and gathered.service["metadata"].get("deletionTimestamp")
        if not leaving:
            await self.applier.apply(body, with_notes(manifest, {GROUPS: groups, **notes}))
        await self.leaver.hold(body, held=True)

    async def _keep(self, body: Body, gathered: Gathered, serving: Portfolio) -> None:
        """Note that this was good, and forget the oldest that were."""
        kept = kept_revisions(gathered)
        stored = await self.applier.apply(body, revision(serving, kept))
        others = [each for each in kept if each["metadata"]["name"] != stored["metadata"]["name"]]
        for old in outlived([stored, *others], serving.resource.spec.rollout.revision_history_limit + 1):
            await self.applier.delete(old)

    async def _forget_trials(self, gathered: Gathered, inputs: str | None) -> None:
        """Forget what was tried of other inputs than these: it begins anew if it ever comes back."""
        for old in forgotten(tried_revisions(gathered), inputs):
            await self.applier.delete(old)

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

    def _due_seconds(
        self, gathered: Gathered, trouble: Finding | None, *others: float | None
    ) -> float | None:
        """Return when to look again even if nobody says anything new."""
        waits: list[float | None] = [
            *others,
            self.drains.seconds_until(gathered.portfolio.key, self.monotonic()),
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


def _carried(gathered: Gathered, last: Desired, wanted: Desired) -> Desired:
    """Return what is wanted, with the applications that another version of the operator rendered."""
    assert gathered.service is not None
    config = carried(running_config(gathered.service), last.serve_config, wanted.serve_config)
    service = wanted.ray_service
    rewritten = {**service, "spec": {**service["spec"], "serveConfigV2": TEXTS.write(config)}}
    manifests = tuple(rewritten if each is service else each for each in wanted.manifests)
    return replace(wanted, serve_config=config, manifests=manifests)


def _status(store: Store, key: Key) -> Mapping[str, Any] | None:
    body = store.get(PORTFOLIO, key)
    return body.get("status") if body is not None else None


def _unreadable(key: Key, problem: Problem) -> Report:
    finding = Finding("Accepted", "False", problem.reason, problem.message)
    return Report(key, (finding, replace(finding, type="Stalled", status="True")), judged={})

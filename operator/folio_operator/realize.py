"""What a pass brings about: the children of one portfolio, as its decision wants them, and nothing but.

It is told what serves and what is true of what runs; it decides neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from folio_api.meta import Key
from folio_api.table import GatewayState
from folio_operator.apply import Applier, with_notes
from folio_operator.bounds import bounds_patch, workers
from folio_operator.canary import canary_of
from folio_operator.children import Manifest, gateway_secret, models_secret, ray_token_secret
from folio_operator.cluster import POD, RAY_SERVICE, SECRET, Body
from folio_operator.decide import (
    GROUPS,
    Decision,
    applications,
    circumstances_of,
    current_nonces,
    group_digests,
    kept_revisions,
    tried_revisions,
)
from folio_operator.desired import Circumstances, Desired, desired
from folio_operator.extras import is_extra
from folio_operator.gather import Gathered, Gatherer, groups_of, has_gateway, observed
from folio_operator.leaving import Leaver
from folio_operator.pod_secrets import new_token, pod_secrets
from folio_operator.rendered import (
    carried,
    is_of_other_renderer,
    notes_of,
    rendered,
    renderer_of,
    running_config,
)
from folio_operator.retry import retried
from folio_operator.revisions import inputs_digest, newest, outlived, restored, revision
from folio_operator.serve_text import TEXTS
from folio_operator.succession import Drains, Past
from folio_operator.trials import forgotten
from folio_operator.world import Application, Portfolio


@dataclass(frozen=True)
class Retold:
    """What is true of what runs, as far as it decides what is asked for next."""

    again: dict[str, Application]
    """Applications that failed and are due for another try."""
    gateway: GatewayState | None


@dataclass
class Realizer:
    """Brings about what was decided, one portfolio at a time."""

    applier: Applier
    leaver: Leaver
    gatherer: Gatherer
    base: Circumstances
    monotonic: Callable[[], float]
    mint: Callable[[], str] = new_token
    drains: Drains = field(default_factory=Drains)

    async def realize(
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
        await self.forget_trials(gathered, inputs_digest(gathered.portfolio) if is_approved else None)
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
        nonces = current_nonces(serving, gathered.asked)
        circumstances = replace(
            self.base if decision.new_cluster else circumstances_of(gathered, self.base),
            nonces=retried(nonces, serving, retold.again),
            applications=applications(gathered.asked, observed(gathered.service, None)),
            is_first=not has_gateway(gathered.service),
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
        return Past(gathered.asked, retold.gateway, drained)

    async def _apply_secrets(self, body: Body, gathered: Gathered, serving: Portfolio) -> None:
        existing = await self._own_secrets(gathered, serving)
        files = gathered.files
        if serving is not gathered.portfolio:  # the last good one may name others than the newest
            files = {**await self.gatherer.files(serving), **files}
        for manifest in pod_secrets(serving, files, existing, self.mint):
            await self.applier.apply(body, manifest)

    async def _own_secrets(self, gathered: Gathered, serving: Portfolio) -> dict[str, Body]:
        """Return those that exist, by name; none where nothing is known to have been made of the portfolio.

        Should one exist even so, it is not overwritten, and known from then on.
        """
        names = [each(serving) for each in (gateway_secret, models_secret, ray_token_secret)]
        keys = [Key(serving.key.namespace, name) for name in names]
        reader = self.gatherer.reader
        if not gathered.children and not any(reader.known(SECRET, key) for key in keys):
            return {}
        found = [await reader.read(SECRET, key) for key in keys]
        return {name: held for name, held in zip(names, found, strict=True) if held is not None}

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

    async def forget_trials(self, gathered: Gathered, inputs: str | None) -> None:
        """Forget what was tried of other inputs than these: it begins anew if it ever comes back."""
        for old in forgotten(tried_revisions(gathered), inputs):
            await self.applier.delete(old)


def _carried(gathered: Gathered, last: Desired, wanted: Desired) -> Desired:
    """Return what is wanted, with the applications that another version of the operator rendered."""
    assert gathered.service is not None
    config = carried(running_config(gathered.service), last.serve_config, wanted.serve_config)
    service = wanted.ray_service
    rewritten = {**service, "spec": {**service["spec"], "serveConfigV2": TEXTS.write(config)}}
    manifests = tuple(rewritten if each is service else each for each in wanted.manifests)
    return replace(wanted, serve_config=config, manifests=manifests)

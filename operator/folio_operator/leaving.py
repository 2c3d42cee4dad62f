"""How a portfolio's Ray cluster goes, when the portfolio does or is suspended: KubeRay is asked, and waited
for.

KubeRay's own finalizer keeps a RayService until KubeRay takes it off, so without KubeRay it would stay for
ever; so would a RayCluster with Redis in a namespace that is being deleted. Where somebody allowed it, that
finalizer, and no other, is then taken off here.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from folio_operator.apply import Applier, is_owned
from folio_operator.cluster import (
    RAY_CLUSTER,
    RAY_SERVICE,
    Body,
    is_same_edit,
    key_of,
    kind_of,
    uid_of,
)
from folio_operator.conditions import Transition
from folio_operator.events import Recorder
from folio_operator.kuberay import KubeRay, age_seconds
from folio_operator.status import Finding

FINALIZER = "folio.dev/ray-service"
"""On a portfolio while it has a RayService: somebody must see that one off."""
RELEASE = "folio.dev/release-without-kuberay"
"""Annotation: what the setting FOLIO_RELEASE_WITHOUT_KUBERAY allows for all, for this portfolio."""
KUBERAY_FINALIZERS = "ray.io/"
REDIS_FINALIZER = "ray.io/gcs-ft-redis-cleanup-finalizer"
"""On a RayCluster that keeps its state in Redis, until a Job of KubeRay's has cleaned that."""
PATIENCE_SECONDS = 60.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leaver:
    """Sees Ray clusters off."""

    applier: Applier
    kuberay: KubeRay
    recorder: Recorder
    release_allowed: bool = False

    async def leave(self, owner: Body) -> Finding | None:
        """Do what can be done now; return what is waited for, None once nothing of Ray is left."""
        left = [each async for each in self._left(owner)]
        for each in left:
            if kind_of(each) is RAY_SERVICE:
                await self.applier.delete(each)
        if not left:
            await self.hold(owner, held=False)
            return None
        names = ", ".join(f"{each['kind']} {key_of(each).name}" for each in left)
        now = self.kuberay.now()
        waited = max(age_seconds(each, "deletionTimestamp", now) for each in left)
        if waited < PATIENCE_SECONDS:
            return Finding("Programmed", "False", "Deleting", f"waits until KubeRay has ended {names}")
        if held_up := await self._let_go_of_redis(owner, left):
            return held_up
        absence = await self.kuberay.absence()
        if absence is None:
            message = f"KubeRay lives and has not ended {names} for {waited:.0f} s: its log says why"
            return Finding("Programmed", "False", "Deleting", message)
        if not self._may_release(owner):
            return Finding("Programmed", "False", "KubeRayAbsent", _advice(names, absence))
        for each in left:
            await self._release(owner, each, f"KubeRay does not work: {absence}")
        return Finding("Programmed", "False", "Deleting", f"released without KubeRay: {names}")

    async def _let_go_of_redis(self, owner: Body, left: list[Body]) -> Finding | None:
        """Return what becomes of clusters whose Redis KubeRay would clean in a Job: it tries that for ever
        where their namespace is being deleted too and takes none any more.
        """
        kept = [each for each in left if REDIS_FINALIZER in (each["metadata"].get("finalizers") or ())]
        if not kept or not await self.recorder.is_in_ending_namespace(owner, self.kuberay.now()):
            return None
        names = ", ".join(f"{each['kind']} {key_of(each).name}" for each in kept)
        if not self._may_release(owner):
            return Finding("Programmed", "False", "RedisNotCleaned", _redis_advice(names))
        for each in kept:
            await self._release(owner, each, "its namespace takes no Job to clean Redis", REDIS_FINALIZER)
        return Finding("Programmed", "False", "Deleting", f"released without cleaning Redis: {names}")

    async def hold(self, owner: Body, *, held: bool) -> None:
        """Have the portfolio wait for us at its deletion, or let it go."""
        present = FINALIZER in (owner["metadata"].get("finalizers") or ())
        if present == held or (held and owner["metadata"].get("deletionTimestamp")):
            return
        metadata = {name: owner["metadata"][name] for name in ("name", "namespace", "uid")}
        document = {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "metadata": {**metadata, **({"finalizers": [FINALIZER]} if held else {})},
        }
        store = self.applier.store
        stored = await self.applier.cluster.apply(document)
        if held and is_same_edit(stored, owner):
            store.wrote(stored)
        else:
            store.put(stored)

    async def _left(self, owner: Body) -> AsyncIterator[Body]:
        """Return what is there now, asked by name: a watch may be cut off, or its kind be gone."""
        key, store = key_of(owner), self.applier.store
        clusters = [each for each in store.children(key, (RAY_CLUSTER,)) if _is_of(each, key.name)]
        for kind, name in [(RAY_SERVICE, key), *((RAY_CLUSTER, key_of(each)) for each in clusters)]:
            live = await self.applier.cluster.get(kind, name)
            known = store.get(kind, name)
            if live is not None and (kind is RAY_CLUSTER or is_owned(live, owner)):
                yield live
            elif live is None and known is not None:
                store.drop(known)

    def _may_release(self, owner: Body) -> bool:
        notes = owner["metadata"].get("annotations") or {}
        return self.release_allowed or notes.get(RELEASE) == "true"

    async def _release(self, owner: Body, body: Body, why: str, finalizers: str = KUBERAY_FINALIZERS) -> None:
        """Take KubeRay's finalizers off an object that is on its way out, and nobody else's."""
        before = list(body["metadata"].get("finalizers") or ())
        theirs = [each for each in before if each.startswith(finalizers)]
        if not theirs or not body["metadata"].get("deletionTimestamp"):
            return
        rest = [each for each in before if each not in theirs]
        await self.applier.patch(
            body,
            [
                {"op": "test", "path": "/metadata/uid", "value": uid_of(body)},
                {"op": "test", "path": "/metadata/finalizers", "value": before},
                {"op": "replace", "path": "/metadata/finalizers", "value": rest},
            ],
        )
        message = f"took {', '.join(theirs)} off the {body['kind']} {key_of(body).name}: {why}"
        logger.warning("%s: %s", key_of(owner), message)
        turn = Transition("Warning", "ReleasedWithoutKubeRay", message)
        await self.recorder.record(owner, [turn], self.kuberay.now())


def _is_of(cluster: Body, service: str) -> bool:
    references = cluster["metadata"].get("ownerReferences") or ()
    return any(each["kind"] == RAY_SERVICE.name and each["name"] == service for each in references)


def _redis_advice(names: str) -> str:
    return (
        f"{names} cannot go: KubeRay cleans Redis in a Job first, and the namespace, which is being deleted,"
        f" takes no Job any more. Take off its finalizer {REDIS_FINALIZER}, or set the annotation"
        f' {RELEASE}: "true" to have that done; the keys stay in Redis'
    )


def _advice(names: str, absence: str) -> str:
    return (
        f"{names} cannot go: KubeRay does not work: {absence}. Start KubeRay, or set the annotation"
        f' {RELEASE}: "true" to have its finalizers removed'
    )

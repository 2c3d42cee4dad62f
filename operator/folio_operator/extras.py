"""Children of kinds that a cluster need not have: the way in from outside, and PodMonitors.

A portfolio serves without them, so that trouble with one never keeps the rest from being applied.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from folio_operator.apply import Applier, NameConflictError
from folio_operator.children import Manifest
from folio_operator.cluster import OPTIONAL, POD_MONITOR, ApiError, Body, Kind, key_of, kind_of
from folio_operator.exposure import EXPOSED, taken
from folio_operator.refusals import refusal
from folio_operator.status import Finding

LOOK_AGAIN_SECONDS = 60.0
"""After the API server knew no such kind."""
logger = logging.getLogger(__name__)


def is_extra(manifest: Body) -> bool:
    return kind_of(manifest) in OPTIONAL


@dataclass
class Extras:
    """Applies them, and tells how the way in fares."""

    applier: Applier
    monotonic: Callable[[], float]
    _absent: dict[Kind, tuple[float, ApiError]] = field(default_factory=dict)
    """When to look again for a kind that was not there, and what was said of it."""

    async def apply(self, owner: Body, manifests: Iterable[Manifest]) -> Finding | None:
        """Bring all of them about; return what is true of the way in, where there shall be one."""
        found = None
        for manifest in filter(is_extra, manifests):
            found = await self._one(owner, manifest) or found
        return found

    def seconds_until_due(self, manifests: Iterable[Manifest]) -> float | None:
        """Return when to look again for a kind of theirs that is not there: no event tells when it comes."""
        now = self.monotonic()
        times = (self._absent[kind][0] for kind in map(kind_of, manifests) if kind in self._absent)
        return min((each - now for each in times), default=None)

    async def _one(self, owner: Body, manifest: Manifest) -> Finding | None:
        if kind_of(manifest) is POD_MONITOR:
            await self._monitor(owner, manifest)
            return None
        try:
            return taken(await self._stored(owner, manifest))
        except NameConflictError as conflict:
            return Finding(EXPOSED, "False", "NameConflict", str(conflict))
        except ApiError as error:
            if error.passes_by_itself:
                raise
            return Finding(EXPOSED, "False", *_refused(kind_of(manifest), error))

    async def _monitor(self, owner: Body, manifest: Manifest) -> None:
        """Bring it about where that can be: being scraped is of no client's concern, and no condition."""
        try:
            await self._stored(owner, manifest)
        except NameConflictError as conflict:
            logger.warning("the PodMonitor %s is left out: %s", key_of(manifest), conflict)
        except ApiError as error:
            if error.passes_by_itself:
                raise
            if error.status != 404:  # which was logged already
                logger.warning("the PodMonitor %s is left out: %s", key_of(manifest), error)

    async def _stored(self, owner: Body, manifest: Manifest) -> Body:
        kind = kind_of(manifest)
        look_again, error = self._absent.get(kind, (0.0, None))
        if error is not None and self.monotonic() < look_again:
            raise error
        try:
            stored = await self.applier.apply(owner, manifest)
        except ApiError as failed:
            if failed.status == 404:
                logger.info("the API server knows no %s: %s is left out", kind.name, kind.plural)
                self._absent[kind] = (self.monotonic() + LOOK_AGAIN_SECONDS, failed)
            raise
        self._absent.pop(kind, None)
        return stored


def _refused(kind: Kind, error: ApiError) -> tuple[str, str]:
    if error.status != 404:
        return refusal(error)
    return (
        "GatewayAPIAbsent",
        f"the API server knows no {kind.name}: install the Gateway API, or write gateway.expose.ingress",
    )

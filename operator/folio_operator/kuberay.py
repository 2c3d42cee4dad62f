"""Whether KubeRay lives, told by its Lease: it is what ends and starts Ray clusters, and it may be gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from folio_api.meta import Key
from folio_operator.cluster import LEASE, ApiError, Body, Cluster, key_of

LEASE_NAME = "ray-operator-leader"
LATE_SECONDS = 30.0
"""Beyond the Lease's own duration: clocks differ, and a busy API server delays renewals."""
LOOK_SECONDS = 10.0
NEGLECT_SECONDS = 60.0
"""After an edit KubeRay says within seconds that it has seen it."""


@dataclass
class KubeRay:
    """Reads KubeRay's Lease, seldom."""

    cluster: Cluster
    lease: Key
    now: Callable[[], datetime]
    _looked: datetime | None = field(default=None, init=False)
    _absence: str | None = field(default=None, init=False)
    _untouched: dict[Key, tuple[int, datetime]] = field(default_factory=dict, init=False)
    """Generation of each RayService that KubeRay has said nothing of, and since when."""

    async def absence(self) -> str | None:
        """Return why KubeRay is to be thought absent; None while it is not."""
        now = self.now()
        if self._looked is None or now - self._looked >= timedelta(seconds=LOOK_SECONDS):
            self._absence = await self._look(now)
            self._looked = now
        return self._absence

    async def neglect(self, service: Body) -> str | None:
        """Return why KubeRay is to be thought absent, if it has left this RayService alone for long."""
        key, generation = key_of(service), service["metadata"].get("generation", 0)
        if not is_untouched(service):
            self.forget(key)
            return None
        known = self._untouched.get(key)
        if known is None or known[0] != generation:
            known = self._untouched[key] = (generation, self.now())
        if self.now() - known[1] < timedelta(seconds=NEGLECT_SECONDS):
            return None
        return await self.absence()

    def forget(self, service: Key) -> None:
        self._untouched.pop(service, None)

    async def _look(self, now: datetime) -> str | None:
        try:
            return absence(await self.cluster.get(LEASE, self.lease), self.lease, now)
        except ApiError as error:
            if error.passes_by_itself:
                raise
            return None  # not ours to read: nothing is known, so nothing is claimed


def absence(lease: Body | None, key: Key, now: datetime) -> str | None:
    """Return what is wrong with the Lease, if anything."""
    if lease is None:
        return f"there is no Lease {key.name} in namespace {key.namespace}"
    spec: Mapping[str, Any] = lease.get("spec") or {}
    renewed = time_of(spec.get("renewTime"))
    if renewed is None or not spec.get("holderIdentity"):
        return f"nobody holds the Lease {key.name} in namespace {key.namespace}"
    silent = (now - renewed).total_seconds()
    if silent <= spec.get("leaseDurationSeconds", 15) + LATE_SECONDS:
        return None
    return f"its Lease {key.name} in namespace {key.namespace} was not renewed for {silent:.0f} s"


def is_untouched(service: Body) -> bool:
    """Return whether KubeRay never said anything about the newest spec of a RayService."""
    seen = (service.get("status") or {}).get("observedGeneration", 0)
    return bool(seen < service["metadata"].get("generation", 0))


def time_of(written: object) -> datetime | None:
    """Return a time as the API server writes it."""
    try:
        return datetime.fromisoformat(str(written)).astimezone(UTC) if written else None
    except ValueError:
        return None


def age_seconds(body: Body, since: str, now: datetime) -> float:
    """Return the seconds since a time in an object's metadata; 0 where it has none."""
    began = time_of(body["metadata"].get(since))
    return (now - began).total_seconds() if began else 0.0

"""Events of the cluster, written where a condition turned and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from folio_operator.children import Manifest
from folio_operator.cluster import EVENT, ApiError, Body, Cluster, key_of, uid_of
from folio_operator.conditions import Transition

LONGEST_NOTE = 1024
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recorder:
    """Writes events; one that cannot be written is not worth a failed pass."""

    cluster: Cluster
    instance: str

    async def record(self, about: Body, turns: Iterable[Transition], now: datetime) -> None:
        for turn in turns:
            try:
                await self.cluster.create(_event(about, turn, now, self.instance))
            except ApiError as error:
                if error.is_of_ending_namespace:  # nobody will read them there
                    return
                logger.warning("event %s about %s was not written: %s", turn.reason, key_of(about), error)

    async def is_in_ending_namespace(self, about: Body, now: datetime) -> bool:
        """Return whether nothing new may be made beside an object: asked by an event that is not written, for
        the namespace itself is not ours to read.
        """
        asked = Transition("Normal", "Deleting", "")
        try:
            await self.cluster.create(_event(about, asked, now, self.instance), dry_run=True)
        except ApiError as error:
            if error.passes_by_itself:
                raise
            return error.is_of_ending_namespace
        return False


def _event(about: Body, turn: Transition, now: datetime, instance: str) -> Manifest:
    key = key_of(about)
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.name,
        "metadata": {"name": f"{key.name}.{uuid4().hex[:16]}", "namespace": key.namespace},
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": "folio.dev/operator",
        "reportingInstance": instance[:128],
        "action": "Reconcile",
        "reason": turn.reason,
        "type": turn.severity,
        "note": turn.message[:LONGEST_NOTE],
        "regarding": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": key.namespace,
            "name": key.name,
            "uid": uid_of(about),
        },
    }

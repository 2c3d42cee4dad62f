"""Lists each kind now and then and puts right what the watches missed: correctness, not speed.

After a watch was cut off too long kopf lists anew and never tells what was deleted meanwhile. And a watch
that shows less than a list, time after time, is stuck.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from folio_operator.cluster import OPTIONAL, WATCHED, ApiError, Body, Cluster, Kind, Trace, uid_of
from folio_operator.gather import Gatherer
from folio_operator.store import Store
from folio_operator.work import Item, concerned

GRACE_SECONDS = 5.0
"""An event may be on its way while we list."""
STUCK_AFTER = 2
"""Lists in a row that found something which no watch had shown."""
logger = logging.getLogger(__name__)


@dataclass
class Resync:
    """Compares the store with the API server."""

    cluster: Cluster
    store: Store
    gatherer: Gatherer
    put: Callable[[Item], None]
    every_seconds: float = 300.0
    grace_seconds: float = GRACE_SECONDS
    rng: random.Random = field(default_factory=random.Random)
    misses_in_a_row: int = field(default=0, init=False)

    @property
    def watches_are_stuck(self) -> bool:
        return self.misses_in_a_row >= STUCK_AFTER

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.every_seconds * self.rng.uniform(0.8, 1.2))
            missed = [item for kind in WATCHED for item in await self.once(kind)]
            self.misses_in_a_row = self.misses_in_a_row + 1 if missed else 0

    async def once(self, kind: Kind) -> list[Item]:
        """Put right what the store has wrong of one kind; return what that concerns."""
        try:
            before = {uid_of(each): each for each in self.store.every(kind)}
            listed = {each.uid: each for each in await self.cluster.traces(kind)}
            await asyncio.sleep(self.grace_seconds)
            lacks = any(self.store.lacks(kind, each) for each in listed.values())
            whole = await self.cluster.list(kind) if lacks else ()  # some kinds we may list, but not get
        except ApiError as error:
            if kind in OPTIONAL and error.status == 404:
                return []
            logger.warning("resync of %s: %s", kind.plural, error)
            return []
        items = [item for each in self._gone(kind, before, listed) for item in self._drop(kind, each)]
        items += [item for each in whole for item in self._missed(kind, each)]
        for item in items:
            self.put(item)
        return items

    def _gone(self, kind: Kind, before: dict[str, Body], listed: dict[str, Trace]) -> list[Body]:
        """Return what was there before the list, is not in it, and is still thought to exist."""
        now = {uid_of(each) for each in self.store.every(kind)}
        return [each for uid, each in before.items() if uid not in listed and uid in now]

    def _drop(self, kind: Kind, body: Body) -> list[Item]:
        logger.warning("the watch missed that a %s was deleted: %s", kind.name, body["metadata"]["name"])
        self.store.drop(body)
        self.gatherer.forget(body)
        return list(concerned(kind, body, self.gatherer))

    def _missed(self, kind: Kind, body: Body) -> list[Item]:
        if not self.store.put(body):
            return []
        logger.warning("the watch missed a change of a %s: %s", kind.name, body["metadata"]["name"])
        return list(concerned(kind, body, self.gatherer))

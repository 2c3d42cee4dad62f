"""Watches kinds that the API server learns of after the operator's start, such as KubeRay's.

Confined to namespaces the operator may not watch the definitions, so kopf knows only what it found at its
start. What was missing then is looked for by name, ever more rarely, and handed to kopf. Holds for the kopf
that pyproject.toml pins; a test runs it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from kopf._cogs.structs.references import Insights, Resource

from folio_operator.cluster import WATCHED, ApiError, Kind

FIRST_SECONDS = 10.0
MOST_SECONDS = 300.0
logger = logging.getLogger(__name__)


class Discovery(Protocol):
    """Asks the API server for its kinds."""

    async def serves(self, kind: Kind) -> bool: ...


@dataclass
class LateKinds:
    """Looks for what kopf did not find at its start."""

    discovery: Discovery
    first_seconds: float = FIRST_SECONDS
    most_seconds: float = MOST_SECONDS
    insights: Insights = field(default_factory=Insights)
    """What kopf watches; it is given this very object."""

    async def run(self) -> None:
        await self.insights.ready_resources.wait()
        seconds = self.first_seconds
        while missing := self._missing():
            await asyncio.sleep(seconds)
            seconds = min(2 * seconds, self.most_seconds)
            if found := [kind for kind in missing if await self._serves(kind)]:
                await self._watch(found)

    def _missing(self) -> list[Kind]:
        watched = {(each.group, each.plural) for each in self.insights.watched_resources}
        return [kind for kind in WATCHED if (kind.group, kind.plural) not in watched]

    async def _serves(self, kind: Kind) -> bool:
        try:
            return await self.discovery.serves(kind)
        except ApiError as error:
            logger.warning("looking for %s: %s", kind.plural, error)
            return False

    async def _watch(self, found: Iterable[Kind]) -> None:
        async with self.insights.revised:
            for kind in found:
                logger.info("the API server serves %s now: watching them", kind.plural)
                self.insights.indexed_resources.add(_resource(kind))
                self.insights.watched_resources.add(_resource(kind))
            self.insights.revised.notify_all()


def _resource(kind: Kind) -> Resource:
    return Resource(
        group=kind.group,
        version=kind.api_version.rpartition("/")[2],
        plural=kind.plural,
        kind=kind.name,
        namespaced=True,
        verbs=frozenset({"list", "watch"}),
    )

"""The floor: kopf's watch and the same client, applying the same objects with no thought.

Takes a file of objects that Folio made of one portfolio. For every portfolio it applies each of them once and
writes a status; after an edit it applies the RayService again, marked with the new generation.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import kopf

from folio_operator import kube, linear_start
from folio_operator.cluster import MODEL, PORTFOLIO, RAY_SERVICE, Body

AT_ONCE = 16
"""As many as Folio has workers."""
NAME = "portfolio-0000"
"""The portfolio that the objects were made of."""


class Bare:
    """Applies everything of a portfolio whenever there is a new generation of it."""

    def __init__(self, cluster: kube.KubeCluster, text: str) -> None:
        self.cluster, self.text = cluster, text
        self.gate = asyncio.Semaphore(AT_ONCE)
        self.done: dict[str, int] = {}

    async def event(self, body: kopf.Body, **_: Any) -> None:
        metadata = body["metadata"]
        before = self.done.get(metadata["uid"], 0)
        if metadata["generation"] == before or metadata.get("deletionTimestamp"):
            return
        self.done[metadata["uid"]] = metadata["generation"]
        async with self.gate:
            for each in self._objects(dict(body)):
                if not before or each["kind"] == RAY_SERVICE.name:
                    await self.cluster.apply(each)
            if not before:
                for each in self._statuses(dict(body)):
                    await self.cluster.apply(each, subresource="status")

    def _objects(self, owner: Body) -> list[Any]:
        metadata = owner["metadata"]
        text = self.text.replace(NAME, metadata["name"]).replace("@NAMESPACE@", metadata["namespace"])
        objects: list[Any] = json.loads(text.replace("@UID@", metadata["uid"]))
        for each in objects:
            if each["kind"] == RAY_SERVICE.name:
                each["metadata"]["annotations"]["folio.dev/revision"] = f"bare-{metadata['generation']}"
        return objects

    def _statuses(self, owner: Body) -> list[Any]:
        metadata = owner["metadata"]
        names = [(MODEL, f"{metadata['name']}-{each}") for each in ("small", "triage", "frontier")]
        return [
            {
                "apiVersion": kind.api_version,
                "kind": kind.name,
                "metadata": {"name": name, "namespace": metadata["namespace"]},
                "status": {
                    "observedGeneration": metadata["generation"],
                    "conditions": [_condition(metadata)],
                },
            }
            for kind, name in (*names, (PORTFOLIO, metadata["name"]))
        ]


def _condition(metadata: Any) -> dict[str, Any]:
    return {
        "type": "Programmed",
        "status": "True",
        "reason": "Bare",
        "message": "",
        "lastTransitionTime": metadata["creationTimestamp"],
        "observedGeneration": metadata["generation"],
    }


async def main(file: Path) -> None:
    cluster = await kube.connect((), lambda *_: None)
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(kopf.login_via_client)
    group, _, version = PORTFOLIO.api_version.rpartition("/")
    kopf.on.event(group, version, PORTFOLIO.plural, registry=registry)(Bare(cluster, file.read_text()).event)
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    await kopf.operator(registry=registry, settings=settings, standalone=True, clusterwide=True)


if __name__ == "__main__":
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    linear_start.install()
    asyncio.run(main(Path(sys.argv[1])))

"""What stands of a RayService when another operator comes: another version of it, or another default image.

An upgrade of the operator must not re-roll anything. So what was rendered of the Ray cluster is noted on the
RayService and stays, until a new cluster is approved. Only counts follow, and pools come and go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from folio_operator.children import RENDERER, RENDERER_VERSION, Installation, Manifest
from folio_operator.cluster import Body
from folio_operator.groups import LiveGroup, without_counts
from folio_operator.serve_config import GATEWAY, ServeConfig
from folio_operator.serve_text import TEXTS

RENDERED = "folio.dev/cluster"
"""Annotation of the RayService: the Ray cluster as it was rendered, and the image that its pods have where
nothing else is written. An edit of the live object is told from it, and repaired.
"""
TAKEN_IN_PLACE = ("user_config", "autoscaling_config")
"""Of a gateway's deployment: tables and counts."""
ABSENT = object()


@dataclass(frozen=True)
class Rendered:
    """The Ray cluster that was rendered last, and how many workers each of its groups has."""

    cluster: Manifest
    """Without the groups' counts."""
    image: str
    """The image that stands where the portfolio names none."""
    groups: tuple[LiveGroup, ...] = ()

    def installation(self, base: Installation) -> Installation:
        """Return what pods that join this cluster are rendered for: they need its Ray."""
        return replace(base, serving_image=self.image, ray_version=self.cluster["rayVersion"])


def notes_of(cluster: Manifest, image: str, renderer: str = RENDERER_VERSION) -> dict[str, str]:
    """Return the annotations by which the next pass knows what was rendered, and by which version."""
    groups = [without_counts(group) for group in cluster["workerGroupSpecs"]]
    noted = {"image": image, "cluster": {**cluster, "workerGroupSpecs": groups}}
    return {RENDERED: json.dumps(noted, sort_keys=True), RENDERER: renderer}


def rendered(service: Body | None, live: Sequence[Mapping[str, Any]]) -> Rendered | None:
    """Return what stands; `live` are the worker groups of the RayCluster that serves.

    Where the note is missing or broken, what the RayService says is the best that is known.
    """
    if service is None:
        return None
    written = service["spec"]["rayClusterConfig"]
    cluster, image = _noted(service) or (written, image_of(written))
    counts = {
        each["groupName"]: int(each.get("replicas", 0)) for each in (*written["workerGroupSpecs"], *live)
    }
    groups = tuple(
        LiveGroup(dict(each), counts.get(each["groupName"], 0)) for each in cluster["workerGroupSpecs"]
    )
    return Rendered(cluster, image, groups)


def renderer_of(service: Body) -> str:
    notes = service["metadata"].get("annotations") or {}
    return str(notes.get(RENDERER, RENDERER_VERSION))


def is_of_other_renderer(service: Body | None) -> bool:
    return service is not None and renderer_of(service) != RENDERER_VERSION


def running_config(service: Body) -> ServeConfig:
    """Return what Serve is asked for, whoever wrote it."""
    return dict(TEXTS.read(service["spec"]["serveConfigV2"]) or {})


def _noted(service: Body) -> tuple[Manifest, str] | None:
    try:
        found = json.loads((service["metadata"].get("annotations") or {})[RENDERED])
        return dict(found["cluster"]), str(found["image"])
    except (KeyError, TypeError, ValueError):
        return None


def image_of(cluster: Manifest) -> str:
    """Return the image of the cluster's head."""
    return str(cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["image"])


def carried(running: ServeConfig, last: ServeConfig, wanted: ServeConfig) -> ServeConfig:
    """Return what runs, with only that changed which the edit from `last` to `wanted` changes.

    These two are of one renderer, and `running` is of another. What a gateway takes in place is always the
    wanted one.
    """
    old, live = _by_name(last), _by_name(running)
    applications = [
        _merged(live[each["name"]], old[each["name"]], each)
        if each["name"] in old and each["name"] in live
        else each
        for each in wanted["applications"]
    ]
    (gateway,) = _by_name(wanted)[GATEWAY]["deployments"]
    taken = {name: gateway[name] for name in TAKEN_IN_PLACE}
    return {**wanted, "applications": [_with_taken(each, taken) for each in applications]}


def _with_taken(application: Manifest, taken: Manifest) -> Manifest:
    if application["name"] != GATEWAY:
        return application
    return {**application, "deployments": [{**each, **taken} for each in application["deployments"]]}


def _by_name(config: ServeConfig) -> dict[str, Manifest]:
    return {each["name"]: dict(each) for each in config.get("applications") or ()}


def _merged(running: Any, last: Any, wanted: Any) -> Any:
    """Return what runs with the difference between `last` and `wanted` brought in."""
    if last == wanted:
        return running
    if all(isinstance(each, Mapping) for each in (running, last, wanted)):
        names = [*wanted, *(name for name in running if name not in wanted)]
        found = {
            name: _merged(*(each.get(name, ABSENT) for each in (running, last, wanted))) for name in names
        }
        return {name: value for name, value in found.items() if value is not ABSENT}
    if all(isinstance(each, list) for each in (running, last, wanted)) and len(running) == len(last) == len(
        wanted
    ):
        return [_merged(*each) for each in zip(running, last, wanted, strict=True)]
    return wanted

"""What an edit does, before it is done: in place, a model restarts, or another Ray cluster with its GPUs.

Compares two renders, so it says of a change what Serve and KubeRay will make of it, whoever wrote it and why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from folio_api.table import Table
from folio_operator.children import Installation, Manifest
from folio_operator.desired import Circumstances, Desired
from folio_operator.groups import GROUP_COUNTS, without_counts, worker_gpus
from folio_operator.rendered import Rendered, image_of
from folio_operator.serve_config import GATEWAY

HEAVY_OPTIONS = (
    "ray_actor_options",
    "placement_group_bundles",
    "placement_group_strategy",
    "request_router_config",
)
"""Options of a deployment that Serve cannot change under a running replica."""
SECOND_CLUSTER = "needs a new cluster beside the running one"
CLUSTER_IN_PLACE = "needs a new cluster, and nothing answers from the end of the running one until it is up"


class Effect(IntEnum):
    """How much an edit disturbs; the larger one decides for the whole plan."""

    IN_PLACE = 0
    RESTARTS_MODEL = 2
    NEW_CLUSTER = 3

    @property
    def title(self) -> str:
        return {"IN_PLACE": "InPlace", "RESTARTS_MODEL": "RestartsModel", "NEW_CLUSTER": "NewCluster"}[
            self.name
        ]


@dataclass(frozen=True)
class Change:
    """One thing that will be different."""

    effect: Effect
    subject: str
    message: str


FIRST = Change(Effect.NEW_CLUSTER, "cluster", "nothing runs yet: everything is started")


@dataclass(frozen=True)
class Plan:
    """All that an edit does."""

    id: str
    """Digest of the wanted cluster: what `rollout.newCluster.approvedPlan` must say if the effect is
    NewCluster.
    """
    changes: tuple[Change, ...] = ()
    extra_gpus: int = 0
    """GPUs that a second cluster, or second applications, take beside the first."""
    offered: Plan | None = None
    """What waits besides until somebody approves it: what an upgrade of the operator brings."""

    @property
    def effect(self) -> Effect:
        return max((change.effect for change in self.changes), default=Effect.IN_PLACE)

    @property
    def approval(self) -> str:
        """Return what is to be written: in quotes, for YAML reads some digests as numbers."""
        return f'rollout.newCluster.approvedPlan: "{self.id}"'

    @property
    def needs_approval(self) -> bool:
        """Whether it waits until that is written: a second cluster does, the first one does not."""
        return self.effect is Effect.NEW_CLUSTER and FIRST not in self.changes


PLANNED = Circumstances(installation=Installation(serving_image="-", ray_version="-"))
"""What plans are rendered for, by the operator and by `folio plan`: an identifier must be the same for both,
and what an installation decides is not part of an edit.
"""


def plan(wanted: Desired, running: Desired | None) -> Plan:
    """Return what it takes to come from `running` to `wanted`; with nothing running, everything is new."""
    cluster = _cluster(wanted)
    identifier = cluster_digest(cluster)
    if running is None:
        return Plan(identifier, (FIRST,), gpus_of(cluster))
    pods = _cluster_changes(_cluster(running), cluster)
    changes = (
        *(pods if wanted.site.pins_to_pools else map(_without_pods, pods)),
        *_application_changes(_applications(running), _applications(wanted)),
        *_table_changes(running.table, wanted.table),
    )
    if any(change.effect is Effect.NEW_CLUSTER for change in changes):
        return Plan(identifier, changes, gpus_of(cluster))
    return Plan(identifier, changes, _gpus_of_seconds(_applications(running), _applications(wanted)))


def renewal(held: Rendered, wanted: Manifest) -> Plan | None:
    """Return what it takes to come from the cluster that stands to the one that this operator would render of
    the same portfolio; None where that is the same.

    Its identifier is that of the cluster as it would run: an approval holds for this image and no later one.
    """
    changes = [each for each in _cluster_changes(held.cluster, wanted) if each.effect is Effect.NEW_CLUSTER]
    if not changes:
        return None
    before, after = (f"{image_of(each)} with Ray {each['rayVersion']}" for each in (held.cluster, wanted))
    if before != after:
        changes.insert(0, _new_cluster("cluster", f"{before} -> {after}"))
    return Plan(cluster_digest(wanted), tuple(changes), gpus_of(wanted))


def in_its_place(found: Plan) -> Plan:
    """Return the plan of a cluster that comes once the running one has gone: it takes no GPU besides."""
    if found.effect is not Effect.NEW_CLUSTER:
        return found
    told = (each.message.replace(SECOND_CLUSTER, CLUSTER_IN_PLACE) for each in found.changes)
    changes = tuple(replace(each, message=text) for each, text in zip(found.changes, told, strict=True))
    return replace(found, changes=changes, extra_gpus=0)


def cluster_digest(cluster: Manifest) -> str:
    """Return the digest of what KubeRay takes for another cluster when it changes."""
    text = json.dumps(_without_counts(cluster), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def gpus_of(cluster: Manifest) -> int:
    """Return the GPUs that a cluster takes at once: those of its workers that always run."""
    return sum(worker_gpus(group) * group["replicas"] for group in cluster["workerGroupSpecs"])


def _cluster(rendered: Desired) -> Manifest:
    cluster: Manifest = rendered.ray_service["spec"]["rayClusterConfig"]
    return cluster


def _without_counts(cluster: Manifest) -> Manifest:
    groups = [without_counts(group) for group in cluster["workerGroupSpecs"]]
    groups.sort(key=lambda group: str(group["groupName"]))
    return {**cluster, "workerGroupSpecs": groups}


def _without(mapping: Mapping[str, Any], keys: Iterable[str]) -> Manifest:
    return {key: value for key, value in mapping.items() if key not in keys}


def _cluster_changes(old: Manifest, new: Manifest) -> Iterator[Change]:
    for field in sorted({*old, *new} - {"workerGroupSpecs"}):
        if old.get(field) != new.get(field):
            yield _new_cluster("cluster", f"{field} changes")
    before = {group["groupName"]: group for group in old["workerGroupSpecs"]}
    after = {group["groupName"]: group for group in new["workerGroupSpecs"]}
    for name, group in after.items():
        if name not in before:
            yield Change(Effect.IN_PLACE, f"pool {name}", "is added")
        else:
            yield from _group_changes(name, before[name], group)
    for name in before:
        if name not in after:
            yield Change(Effect.IN_PLACE, f"pool {name}", "is removed: drained to 0 workers")


def _group_changes(name: str, old: Manifest, new: Manifest) -> Iterator[Change]:
    subject = GATEWAY if name == GATEWAY else f"pool {name}"
    before, after = without_counts(old), without_counts(new)
    if before != after:
        yield _new_cluster(subject, f"its pods change ({', '.join(_differences(before, after))})")
    counts = [
        f"{field} {old[field]} -> {new[field]}"
        for field in GROUP_COUNTS[1:]
        if field in old and old[field] != new[field]
    ]
    if counts:
        yield Change(Effect.IN_PLACE, subject, ", ".join(counts))


def _new_cluster(subject: str, message: str) -> Change:
    return Change(Effect.NEW_CLUSTER, subject, f"{message}: {SECOND_CLUSTER}")


def _without_pods(change: Change) -> Change:
    """Return what a change of pods is on one machine: something to know before it goes to a cluster."""
    told = change.message.replace(SECOND_CLUSTER, "matters in a cluster only, which needs a new one for it")
    return Change(Effect.IN_PLACE, change.subject, told)


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Dotted names of what differs, down to the first member that is not a map on both sides."""
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        yield path
        return
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)


def _applications(rendered: Desired) -> dict[str, Manifest]:
    """Return the applications by what they are of."""
    return {_subject(each): each for each in rendered.serve_config["applications"]}


def _subject(application: Manifest) -> str:
    return GATEWAY if application["name"] == GATEWAY else f"model {application['args']['name']}"


def _application_changes(old: Mapping[str, Manifest], new: Mapping[str, Manifest]) -> Iterator[Change]:
    for subject in sorted({*old, *new}):
        if subject not in old:
            yield Change(Effect.IN_PLACE, subject, "is added and starts; the others keep serving")
        elif subject not in new:
            yield Change(Effect.IN_PLACE, subject, "is removed once it has finished what it began")
        elif old[subject]["name"] != new[subject]["name"]:
            yield _second_application(subject, old[subject], new[subject])
        else:
            yield from _application_change(subject, old[subject], new[subject])


def _gpus_of_seconds(old: Mapping[str, Manifest], new: Mapping[str, Manifest]) -> int:
    return sum(
        _second_gpus(each) for name, each in new.items() if name in old and old[name]["name"] != each["name"]
    )


def _second_application(subject: str, old: Manifest, new: Manifest) -> Change:
    gpus = _second_gpus(new)
    room = f" and takes {gpus} GPUs" if gpus else ""
    differs = ", ".join(_differences(old["args"], new["args"])) or "updateStrategy"
    message = f"its next version starts beside it{room} ({differs}); requests move once that answers"
    return Change(Effect.IN_PLACE, subject, message)


def _second_gpus(application: Manifest) -> int:
    least = int(application["deployments"][0]["autoscaling_config"]["min_replicas"])
    return int(application["args"].get("gpus", 0)) * max(1, least)


def _application_change(subject: str, old: Manifest, new: Manifest) -> Iterator[Change]:
    code = [field for field in ("args", "import_path") if old.get(field) != new.get(field)]
    before, after = old["deployments"][0], new["deployments"][0]
    heavy = [field for field in HEAVY_OPTIONS if before.get(field) != after.get(field)]
    if code or heavy:
        named = [*_differences(_pick(old, code), _pick(new, code)), *heavy]
        what = ", ".join(name.removeprefix("args.") for name in named)
        yield Change(Effect.RESTARTS_MODEL, subject, f"restarts ({what}); {_meanwhile(after)}")
    light = (
        _without(after, ("user_config", *HEAVY_OPTIONS)),
        _without(before, ("user_config", *HEAVY_OPTIONS)),
    )
    if light[0] != light[1]:
        yield Change(
            Effect.IN_PLACE, subject, f"{', '.join(_differences(light[1], light[0]))} is applied in place"
        )
    if subject != GATEWAY and before.get("user_config") != after.get("user_config"):
        yield Change(Effect.IN_PLACE, subject, _adapter_change(before, after))


def _pick(application: Manifest, fields: Iterable[str]) -> Manifest:
    return {field: application.get(field) for field in fields}


def _meanwhile(deployment: Manifest) -> str:
    if deployment.get("max_surge_percent"):
        return "a new replica is up before an old one stops"
    return "meanwhile the next rung stands in"


def _adapter_change(before: Manifest, after: Manifest) -> str:
    old, new = (_adapter_names(each) for each in (before, after))
    come = [f"adapter {name} is added" for name in sorted(new - old)]
    gone = [f"adapter {name} is removed" for name in sorted(old - new)]
    return ", ".join([*come, *gone]) or "its adapters change in place"


def _adapter_names(deployment: Manifest) -> set[str]:
    return {adapter["name"] for adapter in (deployment.get("user_config") or {}).get("adapters", ())}


def _table_changes(old: Table, new: Table) -> Iterator[Change]:
    if old.revision == new.revision:
        return
    parts = ", ".join(_table_parts(old, new)) or "settings"
    yield Change(Effect.IN_PLACE, "policy", f"revision {old.revision} -> {new.revision}: {parts}")


def _table_parts(old: Table, new: Table) -> Iterator[str]:
    yield from _entries("intent", old, new, lambda table: table.intents)
    yield from _entries("model", old, new, lambda table: table.models)
    yield from _entries("data class", old, new, lambda table: table.data_classes)
    listed = {"intents", "models", "data_classes", "revision"}
    for field in Table.model_fields:
        if field not in listed and getattr(old, field) != getattr(new, field):
            yield field.replace("_", " ")


def _entries(noun: str, old: Table, new: Table, pick: Callable[[Table], Iterable[Any]]) -> Iterator[str]:
    before, after = ({entry.name: entry for entry in pick(table)} for table in (old, new))
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            how = "" if name in before and name in after else " removed" if name in before else " added"
            yield f"{noun} {name}{how}"

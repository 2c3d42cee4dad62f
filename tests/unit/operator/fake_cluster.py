"""A Cluster in memory, with the manners of the API server that a pass depends on, and the watches that follow it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml

from folio_api.meta import Key
from folio_operator.cluster import (
    INPUTS,
    WATCHED,
    ApiError,
    Body,
    Kind,
    Trace,
    key_of,
    kind_of,
    uid_of,
    version_of,
)
from folio_operator.store import Store

Slot = tuple[Kind, Key]
ABSENT = object()


@dataclass
class FakeCluster:
    """Server-side apply by one manager, resource versions, and a log of every request that writes."""

    store: Store
    objects: dict[Slot, dict[str, Any]] = field(default_factory=dict)
    stated: dict[tuple[Kind, Key, str], Any] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    refused: dict[tuple[str, str], ApiError] = field(default_factory=dict)
    """(verb, kind) -> what the API server answers instead."""
    ending: set[str] = field(default_factory=set)
    """Namespaces that are being deleted: nothing new is made there."""
    version: int = 0
    now: Callable[[], datetime] = lambda: datetime(2026, 1, 1, tzinfo=UTC)

    # What a pass calls.

    async def get(self, kind: Kind, key: Key) -> Body | None:
        self._answer("get", kind)
        self.reads.append(f"{kind.name}/{key.name}")
        return copy.deepcopy(self.objects.get((kind, key)))

    async def list(self, kind: Kind) -> Sequence[Body]:
        self._answer("list", kind)
        return [copy.deepcopy(body) for body in self._listed(kind)]

    async def traces(self, kind: Kind) -> Sequence[Trace]:
        self._answer("traces", kind)
        return [Trace(key_of(body), uid_of(body), version_of(body)) for body in self._listed(kind)]

    async def apply(self, body: Body, *, subresource: str = "", new: bool = False) -> Body:
        kind, key = kind_of(body), key_of(body)
        self._answer(f"apply {subresource}".strip(), kind)
        if new and (kind, key) in self.objects:
            raise ApiError(409, "the object has been modified")
        if subresource and (kind, key) not in self.objects:
            raise ApiError(404, "not found")
        if (kind, key) not in self.objects:
            self._refuse_in_ending(kind, key)
        self._log("apply", kind, key, subresource)
        before = self.objects.get((kind, key), {})
        old = self.stated.get((kind, key, subresource), {})
        new = json.loads(json.dumps(body))
        self.stated[kind, key, subresource] = new
        after = _applied(before, old, new)
        if after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] = after["metadata"].get("generation", 0) + 1
        return self._store(kind, key, after)

    async def create(self, body: Body, *, dry_run: bool = False) -> None:
        self._answer("create", kind_of(body))
        self._refuse_in_ending(kind_of(body), key_of(body))
        if dry_run:
            return
        self._log("create", kind_of(body), key_of(body))
        self._store(kind_of(body), key_of(body), json.loads(json.dumps(body)))

    async def patch(self, kind: Kind, key: Key, operations: Sequence[Mapping[str, Any]]) -> Body:
        self._answer("patch", kind)
        self._log("patch", kind, key)
        body = copy.deepcopy(self.objects[kind, key])
        for each in operations:
            *path, last = [int(p) if p.isdigit() else p for p in each["path"].strip("/").split("/")]
            place = body
            for step in path:
                place = place[step]
            if each["op"] == "test":
                assert place[last] == each["value"]
            else:
                place[last] = each["value"]
        return self._store(kind, key, body)

    async def delete(self, kind: Kind, key: Key, uid: str) -> None:
        self._answer("delete", kind)
        self._log("delete", kind, key)
        body = self.objects.get((kind, key))
        if body is not None and uid_of(body) == uid:
            self.end(kind, key)

    # What a test does to the world.

    def write(self, text: str) -> None:
        """People write objects: every document of the text."""
        for document in yaml.safe_load_all(text):
            kind, key = kind_of(document), key_of(document)
            before = self.objects.get((kind, key), {})
            if before.get("spec") != document.get("spec"):
                generation = before.get("metadata", {}).get("generation", 0) + 1
                document["metadata"]["generation"] = generation
                kept = {"status": before["status"]} if "status" in before else {}
                if "finalizers" in before.get("metadata", {}):
                    document["metadata"]["finalizers"] = before["metadata"]["finalizers"]
                self._store(kind, key, {**document, **kept})

    def edit(self, kind: Kind, key: Key, path: str, value: Any) -> None:
        """Somebody changes one field, or says a status."""
        body = copy.deepcopy(self.objects[kind, key])
        *steps, last = path.split(".")
        place = body
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
        if value is ABSENT:
            del place[last]
        else:
            place[last] = value
        self._store(kind, key, body)

    def add(self, body: Mapping[str, Any]) -> None:
        self._store(kind_of(body), key_of(body), json.loads(json.dumps(body)))

    def end(self, kind: Kind, key: Key) -> None:
        """Somebody deletes it: it goes at once, or once its last finalizer does."""
        body = copy.deepcopy(self.objects[kind, key])
        if not body["metadata"].get("finalizers"):
            self.remove(kind, key)
        elif "deletionTimestamp" not in body["metadata"]:
            body["metadata"]["deletionTimestamp"] = self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
            self._store(kind, key, body)

    def remove(self, kind: Kind, key: Key) -> None:
        body = self.objects.pop((kind, key))
        for slot in [each for each in self.stated if each[:2] == (kind, key)]:
            del self.stated[slot]
        if kind in WATCHED:
            self.store.drop(body)

    def one(self, kind: Kind, name: str) -> dict[str, Any]:
        return next(body for (each, key), body in self.objects.items() if each is kind and key.name == name)

    def names(self, kind: Kind) -> set[str]:
        return {key.name for each, key in self.objects if each is kind}

    def _store(self, kind: Kind, key: Key, body: dict[str, Any]) -> Body:
        before = self.objects.get((kind, key))
        metadata = body.setdefault("metadata", {})
        known = (before or {}).get("metadata", {})
        metadata["uid"] = known.get("uid") or f"uid-{kind.name}-{key.name}-{self.version}"
        metadata.setdefault("namespace", key.namespace)
        if before is None or {**before, "metadata": {**known, "resourceVersion": ""}} != {
            **body,
            "metadata": {**metadata, "resourceVersion": ""},
        }:
            self.version += 1
            metadata["resourceVersion"] = str(self.version)
        else:
            metadata["resourceVersion"] = known["resourceVersion"]
        self.objects[kind, key] = body
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            self.remove(kind, key)
        elif kind in WATCHED:
            self.store.put(copy.deepcopy(body))
        return copy.deepcopy(body)

    def _log(self, verb: str, kind: Kind, key: Key, subresource: str = "") -> None:
        self.writes.append(f"{verb} {kind.name}/{key.name}{'/' + subresource if subresource else ''}")

    def _listed(self, kind: Kind) -> Iterator[Body]:
        for (each, _), body in self.objects.items():
            if each is kind and (kind in INPUTS or _is_labelled(body)):
                yield body

    def _answer(self, verb: str, kind: Kind) -> None:
        if (verb, kind.name) in self.refused:
            raise self.refused[verb, kind.name]

    def _refuse_in_ending(self, kind: Kind, key: Key) -> None:
        if key.namespace in self.ending:
            message = (
                f'{kind.plural}.{kind.group} "{key.name}" is forbidden: unable to create new content in'
                f" namespace {key.namespace} because it is being terminated"
            )
            raise ApiError(403, message, f"POST /apis/{kind.api_version}/namespaces/{key.namespace}")


def _is_labelled(body: Body) -> bool:
    return (body["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") == "folio"


def _applied(live: Any, old: Any, new: Any) -> Any:
    """Server-side apply: what is stated is so, what was stated and is no longer goes, the rest stays."""
    if not isinstance(new, dict):
        return new
    base = live if isinstance(live, dict) else {}
    old = old if isinstance(old, dict) else {}
    kept = {key: value for key, value in base.items() if key in new or key not in old}
    return {**kept, **{key: _applied(base.get(key), old.get(key), value) for key, value in new.items()}}

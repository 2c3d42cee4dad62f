"""Whether an object is what it ought to be, told without asking the API server.

An object that holds all that we state, and was last written from the same statement, needs no write. So a
pass over an unchanged portfolio writes nothing, and fields of others are none of our business.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from folio_operator.children import Manifest
from folio_operator.cluster import Body

APPLIED = "folio.dev/applied"
"""Annotation: digest of what was stated, so that a field that we state no longer is noticed."""
COUNTED = ("replicas",)
"""Fields of a worker group that belong to the autoscaler once the group exists."""


def stamped(manifest: Manifest) -> Manifest:
    """Return the manifest with the digest of itself."""
    metadata = manifest["metadata"]
    notes = {**metadata.get("annotations", {}), APPLIED: digest(_without_counts(manifest))}
    return {**manifest, "metadata": {**metadata, "annotations": notes}}


def is_settled(wanted: Manifest, live: Body) -> bool:
    """Return whether applying `wanted` would change nothing of `live`."""
    return covers(live, _without_counts(wanted))


def covers(live: Any, wanted: Any) -> bool:
    """Return whether all that is wanted is there; what else is there belongs to others."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            key in live and covers(live[key], value) if value not in ({}, []) else not live.get(key)
            for key, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return isinstance(live, Sequence) and _list_covers(live, wanted)
    return bool(live == wanted)


def _list_covers(live: Sequence[Any], wanted: Sequence[Any]) -> bool:
    """Lists are ours as a whole, but for owner references: an object may have other owners besides."""
    if wanted and all(isinstance(entry, Mapping) and "uid" in entry for entry in wanted):
        return all(any(covers(one, entry) for one in live) for entry in wanted)
    return len(live) == len(wanted) and all(map(covers, live, wanted))


def digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _without_counts(manifest: Manifest) -> Manifest:
    cluster = manifest.get("spec", {}).get("rayClusterConfig")
    if cluster is None:
        return manifest
    groups = [
        {key: value for key, value in group.items() if key not in COUNTED}
        for group in cluster["workerGroupSpecs"]
    ]
    return {
        **manifest,
        "spec": {**manifest["spec"], "rayClusterConfig": {**cluster, "workerGroupSpecs": groups}},
    }

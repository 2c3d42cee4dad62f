"""Everything that there is, of every kind that the API server can list: what is left behind hides in no kind."""

from __future__ import annotations

import json

from tests.e2e.stories.release import run

COME_AND_GO = {"Event", "ComponentStatus", "Lease"}
"""History, and what the cluster itself keeps renewing."""
Found = frozenset[tuple[str, str]]


def of_namespace(namespace: str) -> Found:
    """Return kind and name of every object of the namespace, whoever made it."""
    return _listed(_kinds(namespaced=True), "--namespace", namespace)


def of_cluster() -> Found:
    """Return kind and name of every object that is in no namespace."""
    return _listed(_kinds(namespaced=False))


def _kinds(*, namespaced: bool) -> str:
    listed = run(
        *("kubectl", "api-resources", "--verbs=list", f"--namespaced={str(namespaced).lower()}"), "-o", "name"
    )
    return ",".join(sorted(each for each in listed.split() if not each.startswith("componentstatuses")))


def _listed(kinds: str, *where: str) -> Found:
    items = json.loads(run("kubectl", "get", kinds, *where, "-o", "json"))["items"]
    return frozenset(
        (each["kind"], each["metadata"]["name"]) for each in items if each["kind"] not in COME_AND_GO
    )

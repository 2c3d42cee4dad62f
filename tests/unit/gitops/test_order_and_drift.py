"""Whatever the order of a sync, the end is the same, and a second sync finds nothing to do."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.operator.desk import edited
from tests.unit.operator.shell import DESK, Shell

from folio_operator import cluster as kinds

CRDS = sorted((Path(__file__).parents[3] / "crds").glob("*.yaml"))
PARTS = ("Secret", "SpecialistModel", "RoutingPolicy", "ModelPortfolio")
WAITING = {"PolicyNotFound", "ModelNotFound", "SecretNotFound"}
TRACKED: dict[str, Any] = {
    "labels": {"app.kubernetes.io/instance": "models", "kustomize.toolkit.fluxcd.io/name": "models"},
    "annotations": {"argocd.argoproj.io/tracking-id": "models:folio.dev/ModelPortfolio:bank/desk"},
}


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(edited({})))


async def synced(shell: Shell, order: tuple[str, ...]) -> list[str]:
    """Apply one kind after the other, with a pass after each; return why it waited meanwhile."""
    reasons = []
    for part in order:
        if part == "Secret":
            shell.with_key()
            shell.clock.seconds += 61  # missing Secrets are read again by the clock
        else:
            shell.cluster.write(yaml.safe_dump_all([each for each in documents() if each["kind"] == part]))
        await shell.pass_over()
        if "desk" in shell.cluster.names(kinds.PORTFOLIO):
            status, reason = shell.condition("Accepted")
            assert shell.condition("Stalled") == (("True", reason) if status == "False" else ("", ""))
            reasons += [reason] if status == "False" else []
    return reasons


@pytest.mark.parametrize("order", list(permutations(PARTS)), ids="-".join)
async def test_any_order_ends_in_the_same_portfolio(settled: Shell, order: tuple[str, ...]):
    shell = Shell()
    waited = await synced(shell, order)

    assert shell.condition("Accepted") == ("True", "Valid")
    assert (shell.condition("Stalled"), shell.condition("Reconciling")[0]) == (("", ""), "True")
    assert shell.wanted_revision() == settled.wanted_revision()
    assert set(waited) <= WAITING
    assert len(waited) == len(order) - 1 - order.index("ModelPortfolio")


async def test_nothing_is_started_before_all_of_it_is_there():
    shell = Shell()
    await synced(shell, ("ModelPortfolio", "RoutingPolicy", "SpecialistModel"))
    assert shell.store.children(DESK) == ()


async def test_a_second_sync_changes_nothing_and_writes_nothing(settled: Shell):
    before = {slot: body["metadata"]["resourceVersion"] for slot, body in settled.cluster.objects.items()}
    settled.write()
    await settled.pass_over()
    assert settled.cluster.writes == []
    assert {
        slot: body["metadata"]["resourceVersion"] for slot, body in settled.cluster.objects.items()
    } == before


async def test_the_operator_states_nothing_of_an_object_in_git_but_its_status_and_a_finalizer(settled: Shell):
    stated = {
        (member, *(sorted(document["metadata"]) if member == "metadata" else ()))
        for (kind, _, _), document in settled.cluster.stated.items()
        if kind in kinds.INPUTS
        for member in document
        if member not in ("apiVersion", "kind")
    }
    assert stated == {
        ("metadata", "name", "namespace"),
        ("metadata", "finalizers", "name", "namespace", "uid"),
        ("status",),
    }


async def test_what_is_written_to_git_is_what_the_cluster_holds(settled: Shell):
    for document in documents():
        kind, key = kinds.kind_of(document), kinds.key_of(document)
        assert settled.cluster.objects[kind, key]["spec"] == document["spec"]


@pytest.mark.parametrize("file", CRDS, ids=lambda file: file.stem)
def test_the_api_server_fills_nothing_in(file: Path):
    schema = yaml.safe_load(file.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert list(defaults(schema["properties"]["spec"])) == []


def defaults(schema: Any, path: str = "spec") -> Any:
    """Every place of a schema that has a default."""
    if "default" in schema:
        yield path
    for name, part in schema.get("properties", {}).items():
        yield from defaults(part, f"{path}.{name}")
    for member in ("items", "additionalProperties"):
        if isinstance(schema.get(member), dict):
            yield from defaults(schema[member], f"{path}[]")


def test_a_default_would_be_found():
    schema = {"properties": {"a": {"items": {"properties": {"b": {"default": 1}}}}}}
    assert list(defaults(schema)) == ["spec.a[].b"]


async def test_children_do_not_carry_what_a_tool_tracks_its_own_objects_by(shell: Shell):
    shell.write()
    for name, value in TRACKED.items():
        shell.cluster.edit(kinds.PORTFOLIO, DESK, f"metadata.{name}", value)
    await shell.pass_over()

    tracked = {*TRACKED["labels"], *TRACKED["annotations"]}
    children = [
        body for (kind, _), body in shell.cluster.objects.items() if body["metadata"].get("ownerReferences")
    ]
    assert {body["kind"] for body in children} >= {"RayService", "NetworkPolicy", "Secret"}
    for body in children:
        assert not tracked & {*body["metadata"]["labels"], *body["metadata"].get("annotations", {})}

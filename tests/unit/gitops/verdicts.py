"""What Argo CD, Flux and `kubectl wait` make of an object, each by its own rules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from cel_expr_python import cel
from lupa.lua51 import LuaRuntime

EXAMPLES = Path(__file__).parents[3] / "examples/gitops"
HEALTH = ("Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown")
UNAVAILABLE = ("string", "math", "io", "os", "debug", "coroutine", "dofile", "loadfile", "require", "package")
"""What a script may not lean on: Argo CD opens little more than the base library and `table`."""
CURRENT, IN_PROGRESS, FAILED = "Current", "InProgress", "Failed"

Body = Mapping[str, Any]


def argo(body: Body) -> tuple[str, str]:
    """Return Argo CD's health and its message, by the script that people are to install."""
    group = body["apiVersion"].split("/")[0]
    script = scripts()[f"{group}_{body['kind']}"]
    lua = LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    lua.execute('getmetatable("").__index = nil')
    for name in UNAVAILABLE:
        lua.execute(f"{name} = nil")
    lua.globals().obj = lua.table_from(body, recursive=True)
    found = lua.execute(script)
    assert found.status in HEALTH
    return found.status, found.message


@cache
def scripts() -> dict[str, str]:
    """Return the scripts by the name that Argo CD knows a kind by."""
    data = yaml.safe_load((EXAMPLES / "argocd/health.yaml").read_text())["data"]
    return {key.removeprefix("resource.customizations.health."): text for key, text in data.items()}


def kstatus(body: Body) -> str:
    """Return what Flux and other readers of kstatus make of an object whose kind they do not know."""
    status = body.get("status") or {}
    if body["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if _is_stale(body):
        return IN_PROGRESS
    truths = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    if truths.get("Reconciling") == "True":
        return IN_PROGRESS
    if truths.get("Stalled") == "True":
        return FAILED
    return CURRENT if truths.get("Ready", "True") == "True" else IN_PROGRESS


def flux(body: Body) -> str:
    """Return what Flux makes of it by the expressions of the example, or by kstatus where there is none."""
    found = [each for each in expressions() if each["kind"] == body["kind"]]
    if not found:
        return kstatus(body)
    if "status" not in body or _is_stale(body):  # what has no status has no answer either, and Flux waits
        return IN_PROGRESS
    for field, verdict in (("inProgress", IN_PROGRESS), ("failed", FAILED), ("current", CURRENT)):
        if field in found[0] and _holds(found[0][field], body):
            return verdict
    return IN_PROGRESS


def _is_stale(body: Body) -> bool:
    """Return whether the status says that it is about another generation."""
    generation = body["metadata"]["generation"]
    return bool((body.get("status") or {}).get("observedGeneration", generation) != generation)


def expressions() -> list[dict[str, str]]:
    documents = yaml.safe_load_all((EXAMPLES / "flux/portfolio.yaml").read_text())
    return next(each["spec"]["healthCheckExprs"] for each in documents if each["kind"] == "Kustomization")


def _holds(expression: str, body: Body) -> bool:
    parts = {name: body[name] for name in ("metadata", "spec", "status")}
    environment = cel.NewEnv(variables=dict.fromkeys(parts, cel.Type.DYN))
    result = environment.compile(expression).eval(data=parts)
    assert result.type() == cel.Type.BOOL, result.value()
    return bool(result.value())

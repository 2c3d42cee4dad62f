"""A story's namespace, what it applies there, and what is to be seen when it fails."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kubernetes import client
from tests.e2e.stories.asking import Client
from tests.e2e.stories.release import CommandError, Release, run
from tests.e2e.world import Namespace, documents, wait_for

from folio_operator import cluster as kinds

RAY_LOGS = "cd /tmp/ray/session_latest/logs/serve && tail -n 25 $(ls | grep -E '^(controller|replica).*log$')"
GONE_SECONDS = 150
LET_GO_SECONDS = 60
RAY_PODS = "folio.dev/portfolio,ray.io/node-type in (head,worker)"
"""Not those in which KubeRay cleans Redis."""
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@dataclass
class Story:
    """One namespace of its own, in which pods must be restricted."""

    namespace: Namespace
    client: Client
    release: Release

    @classmethod
    def begin(cls, api: client.ApiClient, release: Release) -> Story:
        name = f"folio-story-{uuid.uuid4().hex[:6]}"
        client.CoreV1Api(api).create_namespace({"metadata": {"name": name, "labels": RESTRICTED}})
        namespace = Namespace(api, name)
        return cls(namespace, Client(namespace), release)

    def end(self) -> None:
        """Delete the namespace, and wait until it is gone: the next story needs its memory.

        Its portfolios go first: what sees them off may need pods, which a namespace that ends takes no more.
        """
        core = client.CoreV1Api(self.namespace.api)
        try:
            let_go(self.namespace)
        finally:
            core.delete_namespace(self.namespace.name)
            core.delete_collection_namespaced_pod(self.namespace.name, grace_period_seconds=1)

        def is_gone() -> bool:
            names = {each.metadata.name for each in core.list_namespace().items}
            return self.namespace.name not in names

        wait_for(f"namespace {self.namespace.name} is gone", is_gone, GONE_SECONDS)

    def apply(self, *what: str | dict[str, Any] | Iterable[dict[str, Any]]) -> None:
        """Apply documents, in the order in which they are written: text, one object, or several."""
        for each in what:
            found = documents(each) if isinstance(each, str) else [each] if isinstance(each, dict) else each
            for document in found:
                self.namespace.apply(document)

    def delete(self, kind: kinds.Kind, name: str) -> None:
        self.namespace.delete(kind, name)

    def status(self, name: str, kind: kinds.Kind = kinds.PORTFOLIO) -> dict[str, Any]:
        return dict((self.namespace.get(kind, name) or {}).get("status", {}))

    def condition(self, name: str, condition: str, kind: kinds.Kind = kinds.PORTFOLIO) -> tuple[str, str]:
        """Return status and reason of a condition that is about the newest spec; ("", "") where there is none."""
        found = self.namespace.get(kind, name) or {}
        newest = found.get("metadata", {}).get("generation")
        for each in found.get("status", {}).get("conditions", ()):
            if each["type"] == condition and each.get("observedGeneration", newest) == newest:
                return (each["status"], each["reason"])
        return ("", "")

    def untrue(self, name: str) -> set[tuple[str, str]]:
        """Return what a portfolio says now is not so, and why; nothing where no gateway answered it in time."""
        found = {each: self.condition(name, each) for each in ("Programmed", "ModelsReady", "Ready")}
        if found["Programmed"][0] == "Unknown":
            return set()
        return {(kind, reason) for kind, (status, reason) in found.items() if status != "True"}

    def model(self, portfolio: str, name: str) -> dict[str, Any]:
        models = self.status(portfolio).get("models", ())
        return next((dict(each) for each in models if each["name"] == name), {})

    def wait_condition(
        self,
        name: str,
        condition: str,
        status: str = "True",
        *,
        reason: str | None = None,
        kind: kinds.Kind = kinds.PORTFOLIO,
        seconds: float = 120,
    ) -> float:
        """Wait for a condition about the newest spec; return the seconds that it took."""
        began = time.monotonic()

        def holds() -> bool:
            found = self.condition(name, condition, kind)
            return found == (status, reason) if reason else found[0] == status

        wanted = f"{kind.name} {name}: {condition}={status}" + (f" ({reason})" if reason else "")
        try:
            wait_for(wanted, holds, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.condition(name, condition, kind)}") from None
        return time.monotonic() - began

    def wait_ready(self, *portfolios: str, seconds: float = 240) -> float:
        """Wait until every replica runs the newest revision and every model is ready."""
        began = time.monotonic()
        for name in portfolios:
            for each in ("Accepted", "Programmed", "ModelsReady", "Ready"):
                self.wait_condition(name, each, seconds=seconds - (time.monotonic() - began))
        return time.monotonic() - began

    def pods(self, portfolio: str, role: str | None = None) -> list[dict[str, Any]]:
        """Return the portfolio's Ray pods; a role is head, gateway or pool-NAME."""
        found = [each for each in self.namespace.list(kinds.POD) if _label(each, "portfolio") == portfolio]
        return [each for each in found if role is None or _label(each, "role") == role]

    def diagnosis(self) -> str:
        """Everything that one would look at first."""
        parts = [self._portfolios(), self._ray(), self._pods(), self._logs(), self.release.log()]
        return "\n\n".join(part for part in parts if part)

    def _portfolios(self) -> str:
        lines = []
        for each in (*self.namespace.list(kinds.PORTFOLIO), *self.namespace.list(kinds.POLICY)):
            lines.append(f"{each['kind']} {each['metadata']['name']}")
            status = each.get("status", {})
            lines += [
                f"  {one['type']}={one['status']} {one['reason']}: {one['message']}"
                for one in status.get("conditions", ())
            ]
            lines += [f"  model {one}" for one in status.get("models", ())]
        return "\n".join(lines)

    def _ray(self) -> str:
        services = self.namespace.list(kinds.RAY_SERVICE)
        return "\n".join(f"RayService {each['metadata']['name']}: {each.get('status')}" for each in services)

    def _pods(self) -> str:
        lines = []
        for each in self.namespace.list(kinds.POD):
            status = each.get("status", {})
            lines.append(f"pod {each['metadata']['name']} {status.get('phase')}")
            lines += [
                f"  {one['name']}: ready {one['ready']}, restarts {one['restartCount']}, {one['state']} {one.get('lastState')}"
                for one in status.get("containerStatuses", ())
            ]
        warnings = [each for each in self.namespace.list(kinds.EVENT) if each.get("type") == "Warning"]
        lines += [f"event {each['reason']}: {each.get('note')}" for each in warnings[-15:]]
        return "\n".join(lines)

    def _logs(self) -> str:
        parts = []
        for each in self.namespace.list(kinds.POD):
            name = each["metadata"]["name"]
            if _label(each, "portfolio") is None or each.get("status", {}).get("phase") != "Running":
                continue
            parts.append(f"--- {name}\n" + self._kubectl("logs", name, "--all-containers", "--tail=15"))
            parts.append(self._kubectl("exec", name, "--", "bash", "-c", f"{RAY_LOGS} 2>/dev/null"))
        return "\n".join(parts)

    def _kubectl(self, *command: str) -> str:
        try:
            return run("kubectl", "-n", self.namespace.name, *command, seconds=20)
        except (CommandError, subprocess.TimeoutExpired) as error:
            return str(error)


def let_go(namespace: Namespace) -> None:
    """Delete the portfolios, and wait until the operator has seen them off."""
    for each in namespace.list(kinds.PORTFOLIO):
        namespace.delete(kinds.PORTFOLIO, each["metadata"]["name"])

    def are_gone() -> bool:
        # Ray's pods take all of their grace of 30 s; nobody is left whom they could still answer.
        client.CoreV1Api(namespace.api).delete_collection_namespaced_pod(
            namespace.name, label_selector=RAY_PODS, grace_period_seconds=1
        )
        time.sleep(0.5)
        return not namespace.list(kinds.PORTFOLIO)

    wait_for(f"the portfolios of {namespace.name} are gone", are_gone, LET_GO_SECONDS)


def _label(pod: dict[str, Any], name: str) -> str | None:
    found = pod["metadata"].get("labels", {}).get(f"folio.dev/{name}")
    return None if found is None else str(found)

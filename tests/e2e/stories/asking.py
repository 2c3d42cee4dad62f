"""Asks gateways through their Service from a pod of the story's namespace, as an application of the cluster would.

A port-forward would hold on to one gateway pod and fall with it; a pod goes the way that clients go, on any cluster.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from tests.e2e.stories.load import Load, sustained
from tests.e2e.stories.release import CommandError, run, serving_image, waiting
from tests.e2e.world import Namespace, wait_for

SCRIPTS = Path(__file__).parent / "pod"
NAME = "client"
TELL_SECONDS = 20
LEAVE_SECONDS = 30
SECURE_POD = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
SECURE_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def scripts() -> dict[str, Any]:
    data = {each.name: each.read_text() for each in SCRIPTS.glob("*.py")}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "scripts"}, "data": data}


def python_pod(name: str, *command: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a small pod that runs one of the scripts in the serving image, which has Python and aiohttp."""
    container = {
        "name": name,
        "image": serving_image(),
        "command": list(command),
        "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "384Mi"}},
        "securityContext": SECURE_CONTAINER,
        "volumeMounts": [
            {"name": "scripts", "mountPath": "/scripts"},
            {"name": "records", "mountPath": "/records"},
        ],
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": SECURE_POD,
        "containers": [container],
        "volumes": [
            {"name": "scripts", "configMap": {"name": "scripts"}},
            {"name": "records", "emptyDir": {}},
        ],
    }
    labels = {"story": name}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 is none at all."""

    at: float
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.text))

    @property
    def says(self) -> str:
        return str(self.body["choices"][0]["message"]["content"])

    @property
    def model(self) -> str:
        return self.headers.get("x-folio-model", "")


@dataclass
class Client:
    """The pod that asks."""

    namespace: Namespace
    _loads: Iterator[int] = field(default_factory=itertools.count, init=False)

    def start(self) -> None:
        self.namespace.apply(scripts())
        self.namespace.apply(python_pod(NAME, "sleep", "infinity"))
        self._wait(NAME)

    def start_provider(
        self, name: str = "provider", says: str = "the provider says so", status: int = 200
    ) -> str:
        """Start a stub of a hosted model, which answers every request with the status; return its base URL."""
        env = {"SAYS": says, "STATUS": str(status)}
        self.namespace.apply(python_pod(name, "python", "/scripts/stub.py", env=env))
        ports = [{"port": 9000, "targetPort": 9000}]
        service = {"selector": {"story": name}, "ports": ports}
        self.namespace.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": service}
        )
        self._wait(name)
        return f"http://{name}.{self.namespace.name}.svc:9000/v1"

    def url(self, portfolio: str, namespace: str | None = None) -> str:
        return f"http://{portfolio}.{namespace or self.namespace.name}.svc:8000"

    def http(self, url: str, body: Any = None, **order: Any) -> Answer:
        """Send one request: a POST where there is a body; `headers`, `method`, `timeout` and `seconds` as in ask.py."""
        given = json.dumps({"url": url, "body": body, **order})
        patience = order.get("seconds", 0) + order.get("timeout", 60) + 30
        said = run(*self._exec("ask.py"), seconds=patience, given=given)
        return Answer(**json.loads(said))

    def chat(self, portfolio: str, text: str, *, model: str = "folio", **order: Any) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        return self.http(f"{self.url(portfolio)}/v1/chat/completions", body, **order)

    @contextmanager
    def load(
        self,
        portfolio: str,
        text: str,
        *,
        clients: int = 8,
        per_second: float = 40,
        timeout: float = 60,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> Iterator[Load]:
        """Ask all the while; the load's requests are known when the block ends, and it begins with an answer."""
        messages = [{"role": "user", "content": text}]
        order = {
            "url": f"{self.url(portfolio)}/v1/chat/completions",
            "body": {"model": "folio", "messages": messages, **body},
            "clients": clients,
            "perSecond": per_second,
            "timeout": timeout,
            "headers": dict(headers or {}),
        }
        folder = f"/records/{next(self._loads)}"

        def tell(what: str) -> str:
            return run(*self._exec("load.py", what, folder), seconds=TELL_SECONDS, given=json.dumps(order))

        with sustained(tell, timeout + LEAVE_SECONDS) as found:
            yield found

    def _exec(self, script: str, *arguments: str) -> tuple[str, ...]:
        inside = ("python", f"/scripts/{script}", *arguments)
        return ("kubectl", "exec", "-i", "-n", self.namespace.name, NAME, "--", *inside)

    def _wait(self, name: str) -> None:
        core = client.CoreV1Api(self.namespace.api)

        def runs() -> bool:
            pod = core.read_namespaced_pod(name, self.namespace.name)
            why = waiting(pod)
            if "make images" in why:
                pytest.fail(why, pytrace=False)
            return pod.status.phase == "Running"

        wait_for(f"pod {name} runs", runs, 60)


__all__ = ["Answer", "Client", "CommandError"]

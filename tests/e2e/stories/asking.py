"""Asks gateways through their Service from a pod of the story's namespace, as an application of the cluster would.

A port-forward would hold on to one gateway pod and fall with it; a pod goes the way that clients go, on any cluster.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from tests.e2e.stories.release import CommandError, run, serving_image, waiting
from tests.e2e.world import Namespace, wait_for

SCRIPTS = Path(__file__).parent / "pod"
NAME = "client"
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
        "volumeMounts": [{"name": "scripts", "mountPath": "/scripts"}],
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": SECURE_POD,
        "containers": [container],
        "volumes": [{"name": "scripts", "configMap": {"name": "scripts"}}],
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


@dataclass(frozen=True)
class Request:
    """One request of a load; times are those of the cluster's clock."""

    at: float
    seconds: float
    revision: str
    model: str
    intent: str
    lost: str | None

    @property
    def until(self) -> float:
        return self.at + self.seconds


@dataclass
class Load:
    """Requests at a steady rate; known once the load is over."""

    requests: tuple[Request, ...] = ()

    @property
    def lost(self) -> list[Request]:
        return [each for each in self.requests if each.lost]

    @property
    def models(self) -> Counter[str]:
        return Counter(each.model for each in self.requests if not each.lost)

    @property
    def revisions(self) -> list[str]:
        """In the order in which they first answered."""
        ordered = sorted((each for each in self.requests if each.revision), key=lambda each: each.until)
        return list(dict.fromkeys(each.revision for each in ordered))

    def quantile_ms(self, share: float) -> float:
        seconds = sorted(each.seconds for each in self.requests if not each.lost)
        return 1000 * seconds[min(len(seconds) - 1, int(share * len(seconds)))]

    def figure(self) -> str:
        median = 1000 * statistics.median(each.seconds for each in self.requests if not each.lost)
        return (
            f"lost {len(self.lost)} of {len(self.requests)} requests"
            f" (p50 {median:.0f} ms, p99 {self.quantile_ms(0.99):.0f} ms)"
        )

    def losses(self) -> str:
        """The first few, for a failure's message."""
        first = self.requests[0].at if self.requests else 0
        return "\n".join(f"+{each.at - first:.2f} s: {each.lost}" for each in self.lost[:10])


@dataclass
class Client:
    """The pod that asks."""

    namespace: Namespace
    _began: list[subprocess.Popen[str]] = field(default_factory=list, init=False)

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
        load = Load()
        with subprocess.Popen(
            self._exec("load.py"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "begun\n", "the load did not begin"
            try:
                yield load
            finally:
                process.stdin.close()
                records = json.loads(process.stdout.readline() or "[]")
                load.requests = tuple(Request(*each) for each in records)
        assert load.requests, "the load was cut off"

    def _exec(self, script: str) -> tuple[str, ...]:
        inside = ("python", f"/scripts/{script}")
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


__all__ = ["Answer", "Client", "CommandError", "Load", "Request"]

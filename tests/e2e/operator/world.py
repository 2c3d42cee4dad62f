"""What the operator's stories share: a namespace on a real API server, an operator process, and a played data plane.

No Ray runs here. KubeRay, where it is installed, makes the RayCluster and is then put to sleep; its status and the
gateway's word are played, so that what is tested is the operator alone.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from folio_operator.cluster import Kind, kind_of

FAST = 15.0
"""Seconds; what takes longer on a machine that does nothing else is broken."""


@dataclass
class Namespace:
    """Objects of one namespace, as JSON."""

    api: client.ApiClient
    name: str

    def apply(self, document: dict[str, Any]) -> dict[str, Any]:
        """As `kubectl apply --server-side`."""
        kind = kind_of(document)
        metadata = {**document["metadata"], "namespace": self.name}
        body = {**document, "metadata": metadata}
        query = (("fieldManager", "people"), ("force", "true"), ("fieldValidation", "Strict"))
        path = f"{self._path(kind)}/{metadata['name']}"
        return self._send("PATCH", path, body, query, "application/apply-patch+yaml")

    def merge(self, kind: Kind, name: str, patch: dict[str, Any], subresource: str = "") -> dict[str, Any]:
        path = f"{self._path(kind)}/{name}" + (f"/{subresource}" if subresource else "")
        return self._send("PATCH", path, patch, (), "application/merge-patch+json")

    def get(self, kind: Kind, name: str) -> dict[str, Any] | None:
        try:
            return self._send("GET", f"{self._path(kind)}/{name}")
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: Kind) -> list[dict[str, Any]]:
        return list(self._send("GET", self._path(kind))["items"])

    def delete(self, kind: Kind, name: str) -> None:
        self._send("DELETE", f"{self._path(kind)}/{name}")

    def _path(self, kind: Kind) -> str:
        root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
        return f"{root}/namespaces/{self.name}/{kind.plural}"

    def _send(
        self, verb: str, path: str, body: Any = None, query: Any = (), content: str = "application/json"
    ) -> Any:
        headers = {"Content-Type": content, "Accept": "application/json"}
        plain = json.dumps(body) if "apply" in content else body
        request = self.api.param_serialize(
            verb,
            path,
            query_params=list(query),
            header_params=headers,
            body=plain,
            auth_settings=["BearerToken"],
        )
        response = self.api.call_api(*request)
        answer = json.loads(response.read())
        if response.status >= 300:
            raise client.ApiException(status=response.status, reason=answer.get("message"))
        return answer


@dataclass
class PlayedGateways:
    """Every portfolio's gateway: says the revision that it was told, to whoever has the token."""

    revision: str | None = None
    token: str = ""
    states: dict[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        played = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = played.answer(self.headers.get("x-folio-token", ""))
                self.send_response(200 if body else 404)
                self.end_headers()
                self.wfile.write(body or b"{}")

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{{namespace}}/{{name}}"

    def answer(self, token: str) -> bytes | None:
        if self.revision is None or token != self.token:
            return None
        models = [
            {"name": name, "state": self.states.get(name, "Ready"), "replicas": 1} for name in self.models
        ]
        replicas = [{"replica": name, "revision": self.revision} for name in ("a", "b")]
        return json.dumps({"replicas": replicas, "models": models}).encode()


@dataclass
class OperatorProcess:
    """`python -m folio_operator`, confined to one namespace."""

    namespace: str
    gateway_url: str
    folder: Path
    name: str = "one"

    def __post_init__(self) -> None:
        self.port = free_port()
        environment = {
            **os.environ,
            "FOLIO_WATCH_NAMESPACE": self.namespace,
            "FOLIO_OPERATOR_NAMESPACE": self.namespace,
            "FOLIO_POD_NAME": self.name,
            "FOLIO_GATEWAY_URL": self.gateway_url,
            "FOLIO_HEALTH_HOST": "127.0.0.1",
            "FOLIO_HEALTH_PORT": str(self.port),
        }
        self.log = self.folder / f"{self.name}-{self.port}.log"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "folio_operator"],
            env=environment,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )

    def ask(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def metric(self, name: str) -> float:
        """The sum over all labels."""
        lines = [line for line in self.ask("/metrics").splitlines() if line.startswith(name)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def writes(self) -> float:
        lines = self.ask("/metrics").splitlines()
        written = [each for each in lines if each.startswith("folio_operator_api_requests_total")]
        return sum(float(each.rsplit(" ", 1)[1]) for each in written if 'verb="GET"' not in each)

    def is_leader(self) -> bool:
        try:
            return self.metric("folio_operator_leader") == 1
        except OSError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> float:
        """End it; return in how many seconds it was gone."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=40)
        return time.monotonic() - began


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(what: str, condition: Callable[[], Any], seconds: float = FAST) -> Any:
    """Return what the condition returns once it is true."""
    deadline = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.01)


def documents(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each]


def secret(name: str, **values: str) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}

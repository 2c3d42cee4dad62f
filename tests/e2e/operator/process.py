"""The operator as a process of this machine, and a played data plane for it.

No Ray runs here. KubeRay, where it is installed, makes the RayCluster and is then put to sleep; its status and the
gateway's word are played, so that what is tested is the operator alone.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


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
    settings: Mapping[str, str] = field(default_factory=dict)
    """Variables beside those of every replica."""

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
            **self.settings,
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

"""`folio up` on a portfolio of encoders, and another portfolio elsewhere that can stand above it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.integration.gateway.conftest import SMALL_LARGE
from tests.integration.gateway.models import Models, Plays, serving

from folio_api.table import GatewayConfig
from folio_cli.local import processes
from folio_cli.local.state import Running, StateDir
from folio_serving.classify.ngram import save_head
from folio_serving.classify.train import train_head
from folio_serving.counter import OwnCounter
from folio_serving.fleet import Fleet
from folio_serving.ledger import RequestLog
from folio_serving.process import GatewayProcess
from folio_serving.replicas import Address, Listener, StaticReplicas
from folio_serving.secrets import Secrets

UP_SECONDS = 600
COMMAND_SECONDS = 240

PORTFOLIO = """
apiVersion: folio.dev/v1alpha1
kind: SpecialistModel
metadata: {{name: triage}}
spec:
  encoder: {{type: NGram, source: {{uri: volume://models/triage}}}}
  tasks: [Classification]
---
apiVersion: folio.dev/v1alpha1
kind: SpecialistModel
metadata: {{name: second}}
spec:
  encoder: {{type: NGram, source: {{uri: volume://models/{second}}}}}
  tasks: [Classification]
---
apiVersion: folio.dev/v1alpha1
kind: RoutingPolicy
metadata: {{name: colours}}
spec:
  intents:
  - name: warm
    matchAny: {{keywords: [fire]}}
    ladder: [{{model: second, accept: {{signal: Score, atLeast: "{at_least}"}}}}, {{model: triage}}]
  - name: hard
    matchAny: {{keywords: [riddle]}}
    ladder: [{{model: triage, accept: {{signal: Score, atLeast: "1.00"}}}}]
  defaultLadder: [{{model: triage}}]
---
apiVersion: folio.dev/v1alpha1
kind: ModelPortfolio
metadata: {{name: colours}}
spec:
  policyRef: {{name: colours}}
  models: [{{name: triage, clearances: [medical]}}, {{name: second}}]
  dataClasses:
  - name: medical
    matchAny: {{headers: [{{name: x-data-class, value: medical}}]}}
  gateway: {{volumes: [{{name: models, claimName: models, purpose: Source}}]}}
"""
TEXTS = ["fire and blood", "red as a rose", "the sea at noon", "sky and ocean"]
LABELS = ["red", "red", "blue", "blue"]


@dataclass
class Folio:
    """The command, with a state directory and a file of its own."""

    folder: Path

    @property
    def state(self) -> StateDir:
        return StateDir(self.folder / "state")

    @property
    def running(self) -> Running:
        running = self.state.load()
        assert running is not None
        return running

    def write(self, second: str = "triage", at_least: str = "0.10") -> None:
        (self.folder / "portfolio.yaml").write_text(PORTFOLIO.format(second=second, at_least=at_least))

    def arguments(self, command: str, *more: str) -> list[str]:
        own = {"up": ["-f", "portfolio.yaml", "--volume", "models=models"], "plan": ["-f", "portfolio.yaml"]}
        folder = ["--state-dir", "state"]
        return [sys.executable, "-m", "folio_cli.main", command, *own.get(command, []), *folder, *more]

    def run(
        self, command: str, *more: str, seconds: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.arguments(command, *more),
            cwd=self.folder,
            env={**os.environ, "COLUMNS": "200"},
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def json(self, command: str, *more: str, seconds: float = COMMAND_SECONDS) -> Any:
        done = self.run(command, *more, "-o", "json", seconds=seconds)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def processes(self, running: Running) -> tuple[psutil.Process, ...]:
        return processes.members(running.session, running.started)


@pytest.fixture(scope="module")
def folio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folio]:
    """A portfolio that is up, one of its two models missing its files."""
    found = Folio(tmp_path_factory.mktemp("folio"))
    (found.folder / "models" / "triage").mkdir(parents=True)
    save_head(train_head(TEXTS, LABELS), found.folder / "models" / "triage" / "head.npz")
    found.write(second="missing")
    done = found.run("up", "--detach", "--port", "0", "--skip-memory-check", seconds=UP_SECONDS)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        (found.folder / "up.txt").write_text(done.stdout)
        yield found
    finally:
        found.run("down")


@dataclass(frozen=True)
class Elsewhere:
    """Another portfolio: its gateway's URL, and the models behind it."""

    url: str
    models: Models

    def texts(self) -> list[str]:
        """Return what its models were asked, but for its own canaries."""
        said = [message["content"] for body in self.models.asked for message in body.get("messages", ())]
        return [text for text in said if text != "canary"]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    """A gateway without Ray on a port of its own, before played models."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "internal-token").write_text("its own")
    models = Models(plays={"small": Plays("from elsewhere", chunks=1)})
    started, stop = threading.Event(), threading.Event()
    port = 0

    async def run() -> None:
        nonlocal port
        async with serving(models) as models.port, _gateway(models, folder) as port:
            started.set()
            while not stop.is_set():  # noqa: ASYNC110 - set by another thread
                await asyncio.sleep(0.1)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert started.wait(20)
    yield Elsewhere(f"http://127.0.0.1:{port}/v1", models)
    stop.set()
    thread.join(10)


@contextlib.asynccontextmanager
async def _gateway(models: Models, folder: Path) -> AsyncIterator[int]:
    at = {
        model.application: (Address(f"{model.name}-1", "127.0.0.1", models.port),)
        for model in SMALL_LARGE.models
        if model.application is not None
    }

    def replicas(listener: Listener) -> StaticReplicas:
        return StaticReplicas(at, listener)

    fleet = Fleet(Secrets(folder), replicas)
    process = GatewayProcess("elsewhere-1", fleet, RequestLog(io.StringIO()), OwnCounter())
    await process.reconfigure(GatewayConfig(active=SMALL_LARGE).model_dump(mode="json"))
    try:
        async with serving(process.app) as port:
            yield port
    finally:
        process.health.close()
        fleet.close()

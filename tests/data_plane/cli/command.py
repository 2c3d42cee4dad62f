"""`folio` as its own process, with a state directory, a file and heads of encoders of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from folio_cli.local import processes
from folio_cli.local.state import Running, StateDir
from folio_serving.classify.ngram import save_head
from folio_serving.classify.train import train_head

UP_SECONDS = 600
COMMAND_SECONDS = 240
NAME = "colours"
TEXTS = ["fire and blood", "red as a rose", "the sea at noon", "sky and ocean"]
LABELS = ["red", "red", "blue", "blue"]


@dataclass
class Folio:
    """The command, and what it is given."""

    folder: Path

    @property
    def state(self) -> StateDir:
        return StateDir(self.folder / "state")

    @property
    def running(self) -> Running:
        running = self.state.load()
        assert running is not None
        return running

    def write(self, encoders: Mapping[str, str], policy: Any, models: Sequence[Any], **spec: Any) -> None:
        """Write the portfolio's file: its encoders by name, each with its folder in the volume `models`."""
        volume = {"name": "models", "claimName": "models", "purpose": "Source"}
        portfolio = {"policyRef": {"name": NAME}, "models": list(models), "gateway": {"volumes": [volume]}}
        documents = [
            *(_document("SpecialistModel", name, _encoder(files)) for name, files in encoders.items()),
            _document("RoutingPolicy", NAME, policy),
            _document("ModelPortfolio", NAME, portfolio | spec),
        ]
        (self.folder / "portfolio.yaml").write_text(yaml.safe_dump_all(documents))

    def head(self, name: str, labels: Sequence[str] = LABELS) -> None:
        """Learn the texts under these labels."""
        (self.folder / "models" / name).mkdir(parents=True, exist_ok=True)
        save_head(train_head(TEXTS, list(labels)), self.folder / "models" / name / "head.npz")

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

    @contextlib.contextmanager
    def up(self, *more: str) -> Iterator[str]:
        """Serve the file until the block ends; yields what the first `up` said."""
        arguments = ("--detach", "--port", "0", "--skip-memory-check", *more)
        done = self.run("up", *arguments, seconds=UP_SECONDS)
        try:
            assert done.returncode == 0, done.stdout + done.stderr
            yield done.stdout
        finally:
            self.run("down")

    def json(self, command: str, *more: str, seconds: float = COMMAND_SECONDS) -> Any:
        done = self.run(command, *more, "-o", "json", seconds=seconds)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def states(self) -> dict[str, str]:
        return {model["name"]: model["state"] for model in self.json("status")["models"]}

    def processes(self, running: Running) -> tuple[psutil.Process, ...]:
        return processes.members(running.session, running.started)


def _document(kind: str, name: str, spec: Any) -> dict[str, Any]:
    return {"apiVersion": "folio.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _encoder(files: str) -> dict[str, Any]:
    source = {"uri": f"volume://models/{files}"}
    return {"encoder": {"type": "NGram", "source": source}, "tasks": ["Classification"]}

"""`folio` from the first `up` to the last `down`, as its own process, with a real Ray and a real encoder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest

from folio_cli.local import processes
from folio_cli.local.state import Running, StateDir
from folio_serving.classify.ngram import save_head
from folio_serving.classify.train import train_head

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
  defaultLadder: [{{model: triage}}]
---
apiVersion: folio.dev/v1alpha1
kind: ModelPortfolio
metadata: {{name: colours}}
spec:
  policyRef: {{name: colours}}
  models: [{{name: triage}}, {{name: second}}]
  gateway: {{volumes: [{{name: models, claimName: models, purpose: Source}}]}}
"""
TEXTS = ["fire and blood", "red as a rose", "the sea at noon", "sky and ocean"]
LOOPBACK = ("127.0.0.1", "::ffff:127.0.0.1", "::1")
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


def states(folio: Folio) -> dict[str, str]:
    return {model["name"]: model["state"] for model in folio.json("status")["models"]}


def test_a_model_without_its_files_fails_alone_and_is_explained(folio: Folio):
    told = (folio.folder / "up.txt").read_text()

    assert states(folio) == {"triage": "Ready", "second": "Failed"}
    assert f"{folio.folder / 'models' / 'missing'} does not exist: this model will fail" in told
    assert "every ladder answers now" in told
    assert "triage stands in" in told


def test_the_next_rung_answers_in_its_place(folio: Folio):
    found = folio.json("chat", "fire and blood")

    assert found["answer"] == "red"
    assert found["folio"]["model"] == "triage"
    assert [attempt["reason"] for attempt in found["folio"]["attempts"]] == ["Unavailable", "Accepted"]


def test_the_gateway_explains_where_a_question_goes(folio: Folio):
    found = folio.json("route", "fire and blood")

    assert (found["intent"], found["source"], found["matched"]) == ("warm", "keyword", "fire")
    assert found["revision"] == folio.json("status")["revision"]


def test_nobody_outside_this_machine_can_reach_ray_without_its_token(folio: Folio):
    stats = set(
        folio.running.ports.others[7:9]
    )  # HAProxy's own figures, whose address Serve lets nobody choose
    listening = [
        connection.laddr
        for process in folio.processes(folio.running)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port not in stats
    ]
    open_to_all = [address.port for address in listening if address.ip not in LOOPBACK]

    assert {_grpc_answer(port) for port in open_to_all} <= {grpc.StatusCode.UNAUTHENTICATED}
    dashboard = f"http://127.0.0.1:{folio.running.ports.dashboard}/api/serve/applications/"
    assert httpx.get(dashboard).status_code == 401


def _grpc_answer(port: int) -> grpc.StatusCode | None:
    """What Serve's own port between replicas says to somebody without the token."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            channel.unary_unary("/ray.serve.ASGIService/HandleRequest")(b"", timeout=10)
        except grpc.RpcError as error:
            return error.code()
    return None


def test_what_runs_is_not_started_twice_on_another_port(folio: Folio):
    done = folio.run("up", "--port", "1")

    assert done.returncode == 64
    assert f"it runs on port {folio.running.ports.http}" in done.stderr


def test_a_policy_edit_is_planned_and_applied_in_place(folio: Folio):
    pids = {process.pid for process in folio.processes(folio.running) if "Gateway" in process.name()}
    before = folio.json("status")["revision"]
    folio.write(second="missing", at_least="0.20")
    plan = folio.run("plan")

    done = folio.run("up", seconds=UP_SECONDS)

    assert plan.returncode == 0
    assert "intent warm" in plan.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{before} -> " in done.stdout
    assert folio.json("status")["revision"] != before
    assert {process.pid for process in folio.processes(folio.running) if "Gateway" in process.name()} == pids


def test_a_failed_model_is_tried_again_once_its_cause_is_gone(folio: Folio):
    (folio.folder / "models" / "missing").symlink_to("triage")

    done = folio.run("up", seconds=UP_SECONDS)

    assert done.returncode == 0, done.stdout + done.stderr
    assert states(folio) == {"triage": "Ready", "second": "Ready"}
    assert folio.json("chat", "fire and blood")["folio"]["model"] == "second"


def test_a_bad_edit_changes_nothing(folio: Folio):
    before = folio.json("status")["revision"]
    good = (folio.folder / "portfolio.yaml").read_text()
    (folio.folder / "portfolio.yaml").write_text(good.replace("{model: second,", "{model: ghost,"))

    done = folio.run("up")
    (folio.folder / "portfolio.yaml").write_text(good)

    assert done.returncode == 64
    assert "(UnknownRung)" in done.stderr
    assert folio.json("status")["revision"] == before


def test_after_down_no_process_and_no_file_of_ray_is_left(folio: Folio):
    running = folio.running
    assert len(folio.processes(running)) > 5

    done = folio.run("down")

    assert done.returncode == 0, done.stderr
    assert folio.processes(running) == ()
    assert not Path(running.ray_dir).exists()
    assert folio.run("status").returncode == 1


def hear_ctrl_c() -> None:
    """Undo what a shell does to its background jobs, pytest among them: they ignore Ctrl-C, and so would ours."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_the_first_up_and_every_process(folio: Folio):
    folio.run("down")  # by itself this test finds what the fixture started
    process = subprocess.Popen(
        folio.arguments("up", "--port", "0", "--skip-memory-check"),
        cwd=folio.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,  # noqa: PLW1509 - no other thread holds a lock here
    )
    assert process.stdout is not None
    told = []
    for line in process.stdout:
        told.append(line)
        if "serving; Ctrl-C stops it" in line:
            break
    running = folio.state.load()
    assert running is not None, told

    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    rest = process.stdout.read()

    assert process.wait(COMMAND_SECONDS) == 0
    assert "no process is left" in rest
    assert folio.processes(running) == ()

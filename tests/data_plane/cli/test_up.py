"""`folio` from the first `up` to the last `down`, as its own process, with a real Ray and a real encoder."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
from tests.data_plane.cli.command import COMMAND_SECONDS, UP_SECONDS, Folio

LOOPBACK = ("127.0.0.1", "::ffff:127.0.0.1", "::1")


class Colours(Folio):
    """Two encoders, one of which may miss its files, and an intent that asks it first."""

    def edit(self, second: str = "missing", at_least: str = "0.10", rung: str = "second") -> None:
        accept = {"signal": "Score", "atLeast": at_least}
        ladder = [{"model": rung, "accept": accept}, {"model": "triage"}]
        warm: Any = {"name": "warm", "matchAny": {"keywords": ["fire"]}, "ladder": ladder}
        policy = {"intents": [warm], "defaultLadder": [{"model": "triage"}]}
        self.write({"triage": "triage", "second": second}, policy, [{"name": "triage"}, {"name": "second"}])


@pytest.fixture(scope="module")
def folio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Colours]:
    """A portfolio that is up, one of its two models missing its files."""
    found = Colours(tmp_path_factory.mktemp("folio"))
    found.head("triage")
    found.edit()
    with found.up() as told:
        (found.folder / "up.txt").write_text(told)
        yield found


def test_a_model_without_its_files_fails_alone_and_is_explained(folio: Colours):
    told = (folio.folder / "up.txt").read_text()

    assert folio.states() == {"triage": "Ready", "second": "Failed"}
    assert f"{folio.folder / 'models' / 'missing'} does not exist: this model will fail" in told
    assert "every ladder answers now" in told
    assert "triage stands in" in told


def test_the_next_rung_answers_in_its_place(folio: Colours):
    found = folio.json("chat", "fire and blood")

    assert found["answer"] == "red"
    assert found["folio"]["model"] == "triage"
    assert [attempt["reason"] for attempt in found["folio"]["attempts"]] == ["Unavailable", "Accepted"]


def test_the_gateway_explains_where_a_question_goes(folio: Colours):
    found = folio.json("route", "fire and blood")

    assert (found["intent"], found["source"], found["matched"]) == ("warm", "keyword", "fire")
    assert found["revision"] == folio.json("status")["revision"]


def test_nobody_outside_this_machine_can_reach_ray_without_its_token(folio: Colours):
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


def test_what_runs_is_not_started_twice_on_another_port(folio: Colours):
    done = folio.run("up", "--port", "1")

    assert done.returncode == 64
    assert f"it runs on port {folio.running.ports.http}" in done.stderr


def test_a_policy_edit_is_planned_and_applied_in_place(folio: Colours):
    pids = {process.pid for process in folio.processes(folio.running) if "Gateway" in process.name()}
    before = folio.json("status")["revision"]
    folio.edit(at_least="0.20")
    plan = folio.run("plan")

    done = folio.run("up", seconds=UP_SECONDS)

    assert plan.returncode == 0
    assert "intent warm" in plan.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{before} -> " in done.stdout
    assert folio.json("status")["revision"] != before
    assert {process.pid for process in folio.processes(folio.running) if "Gateway" in process.name()} == pids


def test_a_failed_model_is_tried_again_once_its_cause_is_gone(folio: Colours):
    (folio.folder / "models" / "missing").symlink_to("triage")

    done = folio.run("up", seconds=UP_SECONDS)

    assert done.returncode == 0, done.stdout + done.stderr
    assert folio.states() == {"triage": "Ready", "second": "Ready"}
    assert folio.json("chat", "fire and blood")["folio"]["model"] == "second"


def test_a_bad_edit_changes_nothing(folio: Colours):
    before = folio.json("status")["revision"]
    folio.edit(at_least="0.20", rung="ghost")

    done = folio.run("up")
    folio.edit(at_least="0.20")

    assert done.returncode == 64
    assert "(UnknownRung)" in done.stderr
    assert folio.json("status")["revision"] == before


def test_after_down_no_process_and_no_file_of_ray_is_left(folio: Colours):
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


def test_ctrl_c_ends_the_first_up_and_every_process(folio: Colours):
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

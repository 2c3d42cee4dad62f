"""`folio` from the first `up` to the last `down`, as its own process, with a real Ray and a real encoder."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import grpc
import httpx
import psutil
from tests.data_plane.cli.conftest import COMMAND_SECONDS, UP_SECONDS, Elsewhere, Folio

from folio_cli.local import ports

RIDDLE = "a riddle, red as a rose"
LOOPBACK = ("127.0.0.1", "::ffff:127.0.0.1", "::1")


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


def test_an_upstream_that_does_not_answer_is_one_error_and_changes_nothing(folio: Folio):
    before = folio.json("status")["revision"]
    url = f"http://127.0.0.1:{ports.choose(0).http}/v1"

    nobody = folio.run("up", "--upstream", url)
    no_path = folio.run("up", "--upstream", folio.running.url)

    assert (nobody.returncode, no_path.returncode) == (64, 64)
    assert nobody.stderr.startswith(f"folio: --upstream {url} does not answer: ")
    assert f"--upstream {folio.running.url}/models lists no models: it says 404" in no_path.stderr
    assert [len(each.stderr.splitlines()) for each in (nobody, no_path)] == [2, 2]
    assert folio.json("status")["revision"] == before


def test_another_portfolio_answers_what_no_rung_was_sure_of(folio: Folio, elsewhere: Elsewhere):
    before = folio.json("chat", RIDDLE)

    done = folio.run("up", "--upstream", elsewhere.url, seconds=UP_SECONDS)
    after = folio.json("chat", RIDDLE)

    assert (before["answer"], before["folio"]["model"]) == ("red", "triage")
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(folio) == {"triage": "Ready", "second": "Ready", "upstream": "Ready"}
    assert (after["answer"], after["folio"]["model"]) == ("from elsewhere", "upstream")
    reasons = [(attempt["model"], attempt["reason"]) for attempt in after["folio"]["attempts"]]
    assert reasons == [("triage", "NotConfident"), ("upstream", "Accepted")]
    assert elsewhere.texts() == [RIDDLE]


def test_what_another_portfolio_is_not_cleared_for_never_reaches_it(folio: Folio, elsewhere: Elsewhere):
    medical = ("--header", "x-data-class=medical")

    found = folio.json("chat", "a riddle of a patient", *medical)
    named = folio.run("chat", "a patient by name", "--model", "upstream", *medical)

    assert found["folio"]["model"] == "triage"
    assert named.returncode == 1
    assert "medical" in named.stderr
    assert folio.json("chat", "a riddle of nobody")["folio"]["model"] == "upstream"
    assert elsewhere.texts() == [RIDDLE, "a riddle of nobody"]


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

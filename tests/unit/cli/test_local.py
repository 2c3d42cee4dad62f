"""The local world without its processes: what is remembered, sized, shown and commanded."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console
from tests.unit.operator.desk import GENERAL, PORTFOLIO, desk

from folio_api.table import ModelState
from folio_cli.commands.chat import Reply, account_line, content, parsed
from folio_cli.commands.up import worth_knowing
from folio_cli.local import applied, ray_head, sizing
from folio_cli.local.applied import Applied
from folio_cli.local.sizing import Machine
from folio_cli.local.state import Ports, Running, StateDir
from folio_cli.local.watching import is_settled
from folio_cli.progress import Lines
from folio_cli.upstream import Upstream, with_upstream
from folio_operator.desired import Circumstances, desired
from folio_operator.retry import retried
from folio_operator.status import Finding, Status
from folio_operator.world import Application

PORTS = Ports(http=8000, gcs=1, dashboard=2, others=tuple(range(10, 21)), replicas=(20000, 20099))
RUNNING = Running(portfolio="desk", session=7, started=1.5, ports=PORTS, ray_dir="/run/fo-1")
CPU_ONLY = {
    GENERAL: {"vllm.gpus": 0},
    PORTFOLIO: {"pools.0.resources": {"limits": {"cpu": "8", "memory": "32Gi"}}},
}


@pytest.mark.parametrize("portfolio", [desk(), with_upstream(desk(), Upstream("http://x/v1"))])
def test_what_was_applied_is_read_back_as_it_was(portfolio, tmp_path: Path):
    state = StateDir(tmp_path)
    applied.save(state, Applied(portfolio, {"triage": "2"}))

    back = applied.load_applied(state)

    assert back is not None
    assert back.nonces == {"triage": "2"}
    assert desired(back.portfolio, Circumstances()) == desired(portfolio, Circumstances())


def test_nothing_applied_is_nothing_read(tmp_path: Path):
    assert applied.load_applied(StateDir(tmp_path)) is None


def test_the_state_file_is_read_back(tmp_path: Path):
    state = StateDir(tmp_path)
    state.save(RUNNING)

    assert state.load() == RUNNING
    state.running.write_text("{")
    assert state.load() is None


def test_sockets_below_the_ray_directory_are_short_enough(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TMPDIR", "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T")
    folder = StateDir.of("a" * 40).ray_dir / ray_head.HAPROXY_FOLDER

    assert len(f"{folder}/{'0' * 56}/metrics.sock") <= 97


def test_ray_listens_on_loopback_with_its_token_and_without_the_shell_s_secrets(tmp_path: Path):
    state = StateDir(tmp_path)
    shell = {
        "PATH": "/bin",
        "RAY_ADDRESS": "ray://elsewhere",
        "FOLIO_SECRET_A_B": "x",
        "FOLIO_MINILM_DIR": "/m",
    }

    environment = ray_head.environment(RUNNING, state, shell, on_gpus=False)
    command = ray_head.command(RUNNING, 40)

    assert "--node-ip-address=127.0.0.1" in command
    assert "--num-cpus=40" in command
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_SERVE_ENABLE_HA_PROXY"] == environment["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
    assert os.access(environment["RAY_SERVE_HAPROXY_BINARY_PATH"], os.X_OK)
    assert environment["FOLIO_SECRETS_DIR"] == str(state.secrets)
    assert environment["FOLIO_MINILM_DIR"] == "/m"
    assert environment["TORCHDYNAMO_DISABLE"] == "1"
    assert not {"RAY_ADDRESS", "FOLIO_SECRET_A_B"} & set(environment)


def test_engines_on_gpus_may_compile(tmp_path: Path):
    assert "TORCHDYNAMO_DISABLE" not in ray_head.environment(RUNNING, StateDir(tmp_path), {}, on_gpus=True)


def test_too_little_memory_is_said_with_both_figures():
    (line,) = sizing.obstacles(desk(CPU_ONLY), Machine(available_gib=4, gpus=0))

    assert "4.0 are free" in line
    assert "--skip-memory-check" in line
    assert sizing.obstacles(desk(CPU_ONLY), Machine(available_gib=64, gpus=0)) == []


def test_missing_gpus_are_said_by_field():
    (line,) = sizing.obstacles(desk(), Machine(available_gib=64, gpus=0))

    assert line.startswith("SpecialistModel/llama-8b spec.vllm.gpus: 1 wanted")


def test_ray_is_told_of_room_for_every_replica_and_more():
    assert sizing.logical_cpus(desk(CPU_ONLY)) > 4 * 4 + 16


def test_a_failed_application_alone_gets_a_new_nonce():
    states = {
        "model-triage": Application("model-triage", "DEPLOY_FAILED"),
        "model-minilm": Application("model-minilm", "RUNNING", replicas=1),
        "model-handbook": Application("model-handbook", "UNHEALTHY", replicas=0),
    }

    assert retried({"minilm": "4"}, desk(), states) == {"triage": "1", "minilm": "4", "handbook": "1"}
    assert retried({"triage": "1"}, desk(), states)["triage"] == "2"


def _status(*models: ModelState, programmed: str = "True", reason: str = "Confirmed") -> Status:
    return Status("r", models, (Finding("Programmed", programmed, reason),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "settled"),
    [
        (_status(ModelState(name="a", state="Ready"), ModelState(name="b", state="Failed")), True),
        (_status(ModelState(name="a", state="Loading")), False),
        (_status(ModelState(name="a", state="Ready"), programmed="False", reason="Converging"), False),
        (_status(ModelState(name="a", state="Ready"), programmed="False", reason="Rejected"), True),
    ],
)
def test_a_portfolio_is_settled_when_nothing_more_will_happen(status: Status, settled: bool):
    assert is_settled(status) is settled


def test_progress_says_a_change_once_and_why():
    out, now = io.StringIO(), iter([0.0, 1.0, 2.5])
    lines = Lines(Console(file=out, width=200), clock=lambda: next(now))
    loading = ModelState(name="a", state="Loading", message="reads [weights]", served_by="b")

    for state in (loading, loading, ModelState(name="a", state="Ready")):
        lines.show(_status(state))

    assert out.getvalue().splitlines() == [
        "   1.0 s  a is Loading: reads [weights] (b stands in)",
        "   2.5 s  a is Ready",
    ]


def test_a_stream_is_read_event_by_event():
    assert parsed(": folio end") is None
    assert parsed("data: [DONE]") is None
    assert content(parsed('data: {"choices": [{"delta": {"content": "Hi"}}]}') or {}) == "Hi"
    assert content({"choices": [], "usage": {}}) == ""
    assert content({"choices": [{"delta": {"refusal": "no"}}]}) == "no"


def test_an_answer_s_account_names_rung_confidence_cost_and_who_was_not_enough():
    account = {
        "model": "desk-l",
        "rung": 1,
        "confidence": 0.914,
        "cost_usd": 0.00012,
        "attempts": [
            {"model": "triage", "reason": "NotConfident"},
            {"model": "desk-l", "reason": "Accepted"},
        ],
    }

    assert account_line(Reply("x", account, 0.25)) == (
        "  desk-l (rung 1), confidence 0.91, 0.25 s, $0.000120, after triage: NotConfident"
    )


def test_a_canary_is_said_to_be_none_on_one_machine():
    canary = {PORTFOLIO: {"rollout.canary": {"percent": 10, "duration": "30m"}}}
    told = set(worth_knowing(desk(canary), {})) - set(worth_knowing(desk(), {}))
    assert told == {"rollout.canary: on one machine every edit goes live at once, for all of the traffic"}

"""Every command as a script sees it: what it prints, and the status that it ends with. Nothing runs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import yaml
from tests.unit.operator.desk import FILE, GENERAL, POLICY, PORTFOLIO, desk, edited

from folio_cli.local.applied import Applied, save
from folio_cli.local.gateway_api import GatewayApi, GatewayError
from folio_cli.local.state import Ports, Running, StateDir
from folio_cli.main import COMMANDS, run


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def write(tmp_path: Path):
    def written(edits) -> str:
        path = tmp_path / "edited.yaml"
        path.write_text(edited(edits))
        return str(path)

    return written


@pytest.mark.parametrize("command", [command.__name__ for command in COMMANDS])
def test_help_has_an_example_of_the_command(command: str, capsys: pytest.CaptureFixture[str]):
    assert run([command, "--help"]) == 0
    assert f"  folio {command}" in capsys.readouterr().out.split("Examples:")[1] or command == "chat"


@pytest.mark.parametrize(
    ("edits", "status"),
    [
        ({}, 0),
        ({POLICY: {"limits.deadline": "20s"}}, 0),
        ({GENERAL: {"vllm.engineArgs.max_num_seqs": 64}}, 2),
        ({PORTFOLIO: {"pools.0.image": "registry/other:1"}}, 3),
        ({PORTFOLIO: {"maxGPUs": 1}}, 64),
        ({POLICY: {"limits": 7}}, 64),
    ],
)
def test_plan_ends_with_what_the_edit_does(write, edits, status: int):
    assert run(["plan", "-f", write(edits), "--against", str(FILE)]) == status


def test_plan_says_in_json_what_would_change(write, capsys: pytest.CaptureFixture[str]):
    run(
        [
            "plan",
            "-f",
            write({GENERAL: {"vllm.engineArgs.max_model_len": 4096}}),
            "--against",
            str(FILE),
            "-o",
            "json",
        ]
    )
    found = json.loads(capsys.readouterr().out)

    assert found["effect"] == "RestartsModel"
    assert {change["subject"] for change in found["changes"]} == {"model general", "policy"}


def test_a_change_of_pods_is_in_place_on_one_machine_and_said_to_matter_in_a_cluster(
    write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    state = StateDir(tmp_path / "running")
    state.create()
    ports = Ports(http=8000, gcs=1, dashboard=2, replicas=(3, 4))
    state.save(Running(portfolio="desk", session=7, started=1.5, ports=ports, ray_dir=str(tmp_path)))
    save(state, Applied(desk()))
    edit = write({PORTFOLIO: {"pools.0.image": "registry/other:1"}})

    assert run(["plan", "-f", edit, "--state-dir", str(state.path)]) == 0
    assert "matters in a cluster only" in capsys.readouterr().out


def test_with_nothing_running_everything_would_be_new(capsys: pytest.CaptureFixture[str]):
    assert run(["plan", "-f", str(FILE)]) == 3
    assert "nothing runs yet" in capsys.readouterr().out


def test_all_errors_of_the_files_are_told_at_once(write, capsys: pytest.CaptureFixture[str]):
    bad = write({POLICY: {"limits.deadline": "soon"}, PORTFOLIO: {"maxGPUs": -1}})

    assert run(["render", "-f", bad]) == 64
    told = capsys.readouterr().err
    assert told.startswith("folio: 2 errors in the files")
    assert "limits.deadline" in told
    assert "maxGPUs" in told


def test_what_the_checks_find_ends_with_64_and_the_reason(write, capsys: pytest.CaptureFixture[str]):
    assert run(["render", "-f", write({POLICY: {"defaultLadder.0.model": "ghost"}})]) == 64
    assert "(UnknownRung)" in capsys.readouterr().err


def test_render_prints_every_manifest_as_yaml(capsys: pytest.CaptureFixture[str]):
    assert run(["render", "-f", str(FILE)]) == 0

    kinds = [document["kind"] for document in yaml.safe_load_all(capsys.readouterr().out)]
    assert kinds == ["RayService", *["NetworkPolicy"] * 4, "PodDisruptionBudget"]


def test_render_shows_defaults_that_nobody_wrote(capsys: pytest.CaptureFixture[str]):
    run(["render", "-f", str(FILE), "--part", "table", "-o", "json"])

    assert json.loads(capsys.readouterr().out)["streaming"]["commit_after_tokens"] == 32


def test_route_by_files_explains_the_decision(write, capsys: pytest.CaptureFixture[str]):
    path = write({POLICY: {"classifier": {"type": "NGram"}}})

    assert run(["route", "say hello", "-f", path, "-H", "X-Task=bank", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["intent"], found["source"]) == ("bank", "header")
    assert [rung["model"] for rung in found["ladder"]] == ["triage", "contracts", "frontier"]


def test_route_prints_sentences_for_people(write, capsys: pytest.CaptureFixture[str]):
    assert run(["route", "what says the handbook", "-f", write({})]) == 0
    told = capsys.readouterr().out
    assert "intent    facts, decided by keyword handbook" in told
    assert "ladder    0. handbook, Score from 0.55" in told


def test_a_classifier_that_is_a_model_cannot_be_asked_by_files_alone(
    write, capsys: pytest.CaptureFixture[str]
):
    path = write({POLICY: {"classifier": {"type": "Model", "model": "general"}}})

    assert run(["route", "anything", "-f", path]) == 1
    assert "start the portfolio" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["status"], ["chat", "hi"], ["route", "hi"]])
def test_without_a_running_portfolio_one_is_told_how_to_start_one(
    arguments, capsys: pytest.CaptureFixture[str]
):
    assert run(arguments) == 1
    assert "start one with: folio up -f" in capsys.readouterr().err


def test_down_is_done_where_nothing_runs(capsys: pytest.CaptureFixture[str]):
    assert run(["down"]) == 0
    assert "no portfolio runs here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["up"], "Missing option '--file'"),
        (["plan"], "Missing option '--file'"),
        (["up", "-f", str(FILE), "--volume", "models"], "is not NAME=PATH"),
        (["up", "-f", str(FILE), "--volume", "models=/nowhere"], "/nowhere is no folder"),
        (["up", "-f", str(FILE), "--upstream", "ftp://x"], "is not a URL such as https://api.example.com"),
        (
            ["up", "-f", str(FILE), "--upstream", "http://x/v1", "--upstream-input-price", "much"],
            "no amount in USD",
        ),
        (["up", "-f", str(FILE)], "there is no Secret frontier"),
        (["up", "-f", str(FILE), "--port", "99999"], "65535"),
        (["route", "hi", "-H", "x"], "is not NAME=VALUE"),
        (["index", "/nowhere", "--to", "x"], "/nowhere is no folder"),
        (["plan", "-f", "/nowhere.yaml"], "cannot be read"),
        (["plan", "-f", str(FILE), "-p", "other"], "there is: desk"),
        (["dance"], "dance"),
    ],
)
def test_wrong_usage_ends_with_64_and_names_the_fix(arguments, says: str, capsys: pytest.CaptureFixture[str]):
    assert run(arguments) == 64
    assert says in capsys.readouterr().err


def test_a_missing_volume_is_named_with_the_option_that_gives_it(
    write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FOLIO_SECRET_FRONTIER_TOKEN", "t0ken")

    assert run(["up", "-f", str(FILE)]) == 64
    assert "add --volume models=PATH" in capsys.readouterr().err


def test_a_gpu_that_this_machine_lacks_is_said_before_anything_starts(
    write, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FOLIO_SECRET_FRONTIER_TOKEN", "t0ken")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert run(["up", "-f", str(FILE), "--volume", f"models={tmp_path}"]) == 64
    assert "write gpus: 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--url", "http://[::1/v1"], 64, '--url: "http://[::1/v1" is not a URL such as'),
        (["--url", "gateway"], 64, '--url: "gateway" is not a URL such as'),
        (["--url", ""], 64, '--url: "" is not a URL such as'),
        (["--url", "http://127.0.0.1:1/v1", "--api-key", "é"], 1, "the key has a character"),
        (["--url", "http://127.0.0.1:1/v1", "-H", "x=é"], 64, "has a character that no header may hold"),
    ],
)
@pytest.mark.parametrize("command", ["chat", "route"])
def test_what_no_request_can_be_made_of_is_told(
    command: str, arguments: list[str], status: int, told: str, capsys: pytest.CaptureFixture[str]
):
    assert run([command, "hi", *arguments]) == status
    assert told in capsys.readouterr().err


def test_questions_of_a_pipe_that_nobody_answered_are_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def refused(*_: object) -> None:
        raise GatewayError("nothing answers there")

    monkeypatch.setattr(GatewayApi, "stream", refused)
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\n"))
    assert run(["chat", "--url", "http://127.0.0.1:1/v1"]) == 1
    assert capsys.readouterr().err.count("nothing answers there") == 2


def test_a_pipe_without_a_question_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(["chat", "--url", "http://127.0.0.1:1/v1"]) == 0

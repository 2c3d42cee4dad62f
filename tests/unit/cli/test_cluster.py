"""`folio plan` and `folio status` of a cluster: what they make of what a namespace holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.operator.desk import GENERAL, POLICY, PORTFOLIO, Edits, edited
from tests.unit.operator.shell import DESK, GHOST, Shell

from folio_api.load import Text, load
from folio_cli import show
from folio_cli.cluster import planning, reading, telling
from folio_cli.exits import Problem, UsageProblem
from folio_cli.main import run
from folio_operator import cluster as kinds
from folio_operator.children import ROTATE, Installation
from folio_operator.cluster import ApiError
from folio_operator.plan import FIRST, Change, Effect, Plan

NEXT = Installation(serving_image="folio/serving:0.2.0")


@pytest.fixture
async def settled() -> Shell:
    shell = Shell().with_key()
    await shell.settle()
    return shell


async def held(shell: Shell) -> reading.Held:
    return await reading.held(shell.cluster, "bank")


async def planned(shell: Shell, text: str, name: str | None = None) -> Plan:
    return planning.plan_against(await held(shell), load([Text("f.yaml", text)]), name)


def only(text: str, kind: str) -> str:
    return "\n---\n".join(each for each in text.split("\n---\n") if f"kind: {kind}" in each)


@pytest.mark.parametrize(
    ("edits", "effect"),
    [
        ({}, Effect.IN_PLACE),
        ({POLICY: {"limits.deadline": "20s"}}, Effect.IN_PLACE),
        ({GENERAL: {"vllm.engineArgs.max_num_seqs": 64}}, Effect.RESTARTS_MODEL),
        ({PORTFOLIO: {"pools.0.image": "registry/other:1"}}, Effect.NEW_CLUSTER),
    ],
)
async def test_the_files_are_compared_with_what_serves(settled: Shell, edits: Edits, effect: Effect):
    assert (await planned(settled, edited(edits))).effect is effect


async def test_the_id_is_the_one_that_the_operator_waits_for(settled: Shell):
    edit = {PORTFOLIO: {"ray.image": "registry/folio:2"}}
    found = await planned(settled, edited(edit))
    settled.write(edit)
    await settled.pass_over()

    assert settled.cluster.one(kinds.PORTFOLIO, "desk")["status"]["plan"]["id"] == found.id


@pytest.mark.parametrize("digest", ["12345678", "1.2e4", "12e4", "0x1234", "abcdef12"])
def test_the_approval_of_a_plan_can_be_copied_into_yaml_whatever_its_digits(digest: str):
    change = Change(Effect.NEW_CLUSTER, "cluster", "another image")
    offered = Plan(digest, (change,))
    *_, mine, _, theirs = show.plan_lines(Plan(digest, (change,), offered=offered))

    for line in (mine, theirs):
        written = line[line.index("rollout.newCluster") :]
        assert yaml.safe_load(written) == {"rollout.newCluster.approvedPlan": digest}


def test_a_first_cluster_waits_for_no_approval():
    assert "approvedPlan" not in "".join(show.plan_lines(Plan("12345678", (FIRST,))))


async def test_what_an_upgraded_operator_offers_is_told_beside_the_plan(settled: Shell):
    settled.upgrade(NEXT)
    await settled.pass_over()
    found = await planned(settled, edited({}))

    assert found.effect is Effect.IN_PLACE
    assert found.offered is not None
    told = show.plan_lines(found)
    assert told[0] == "nothing changes"
    assert f"offers plan {found.offered.id}: cluster: folio/serving:0.1.0" in told[1]
    assert show.plan_json(found)["offered"]["id"] == found.offered.id

    rollout = {"newCluster": {"strategy": "BlueGreen", "approvedPlan": found.offered.id}}
    approved = await planned(settled, edited({PORTFOLIO: {"rollout": rollout}}))
    assert (approved.id, approved.effect) == (found.offered.id, Effect.NEW_CLUSTER)
    assert (await planned(settled, edited({PORTFOLIO: {"ray.image": "mine:1"}}))).offered is None


async def test_a_plan_that_waits_for_its_edit_is_no_offer(settled: Shell):
    settled.write({PORTFOLIO: {"ray.image": "registry/folio:2"}})
    await settled.pass_over()

    assert (await planned(settled, edited({}))).offered is None


async def test_files_may_hold_the_policy_alone(settled: Shell):
    policy = only(edited({POLICY: {"limits.deadline": "20s"}}), "RoutingPolicy")
    found = await planned(settled, policy)
    assert "policy" in {each.subject for each in found.changes}
    assert found.effect is Effect.IN_PLACE


async def test_what_the_cluster_would_refuse_is_refused(settled: Shell):
    with pytest.raises(UsageProblem) as problem:
        await planned(settled, only(edited(GHOST), "RoutingPolicy"))
    assert "UnknownRung" in problem.value.lines[0]


async def test_a_portfolio_that_does_not_serve_yet_is_new():
    shell = Shell()
    found = await planned(shell, edited({}))
    assert found.effect is Effect.NEW_CLUSTER
    assert found.changes[0].message == "nothing runs yet: everything is started"
    assert "approvedPlan" not in "\n".join(show.plan_lines(found)), "the first one waits for nobody"


async def test_a_portfolio_whose_first_cluster_never_came_up_is_new():
    shell = Shell().with_key()
    shell.write()
    await shell.pass_over()
    found = await planned(shell, edited({PORTFOLIO: {"ray.image": "registry/right:1"}}))

    assert [each.message for each in found.changes] == ["nothing runs yet: everything is started"]


async def test_a_rotation_that_was_asked_for_is_not_taken_back_by_files_that_do_not_name_it(settled: Shell):
    settled.cluster.edit(kinds.PORTFOLIO, DESK, "metadata.annotations", {ROTATE: "1"})
    assert (await planned(settled, edited({}))).effect is Effect.NEW_CLUSTER


async def test_files_of_another_namespace_are_refused(settled: Shell):
    other = edited({}).replace("namespace: bank", "namespace: shop")
    with pytest.raises(UsageProblem, match="the files name namespace shop, the command bank"):
        await planned(settled, other)


async def test_status_tells_what_the_operator_wrote(settled: Shell):
    settled.gateway_says(settled.wanted_revision(), triage="Loading")
    await settled.pass_over()
    desk = telling.chosen(await held(settled), None)

    assert telling.is_ready(desk)
    first = next(telling.lines(desk))
    assert (
        first == f"portfolio bank/desk at http://desk.bank.svc:8000/v1, revision {settled.wanted_revision()}"
    )
    assert any(
        line.startswith("ModelsReady: False Loading: triage is Loading") for line in telling.conditions(desk)
    )
    shown = json.loads(json.dumps(telling.as_json(desk)))
    assert (shown["name"], shown["modelsReady"]) == ("desk", "5/6")
    assert telling.models(desk).row_count == 6


async def test_status_names_the_plan_that_waits(settled: Shell):
    settled.write({PORTFOLIO: {"ray.image": "registry/folio:2"}})
    await settled.pass_over()
    desk = telling.chosen(await held(settled), "desk")
    assert any(line.startswith('waits for approval of plan "') for line in telling.lines(desk))


async def test_a_plan_names_the_canary_and_compares_with_what_serves_and_not_with_what_is_tried(
    settled: Shell,
):
    tried = {PORTFOLIO: {"rollout.canary": {"percent": 10, "duration": "30m"}}}
    edit = {**tried, POLICY: {"limits.deadline": "20s"}}
    settled.write(tried)
    await settled.pass_over()
    settled.everything_runs()
    await settled.pass_over()
    assert [each.message for each in (await planned(settled, edited(tried))).changes] == []
    before = await planned(settled, edited(edit))
    assert [each.message for each in before.changes if each.subject == "canary"] == [
        "10 % of the traffic tries it for 30m before it goes live (rollout.canary)"
    ]
    settled.write(edit)
    await settled.pass_over()
    tables = settled.tables()
    settled.gateway_says(tables["active"]["revision"], tables["candidate"]["revision"])
    await settled.pass_over()
    assert await planned(settled, edited(edit)) == before
    desk = telling.chosen(await held(settled), None)
    assert any(each.startswith("canary: 10 % of the traffic tries revision") for each in telling.lines(desk))
    assert telling.as_json(desk)["candidate"]["phase"] == "Canary"


async def test_a_portfolio_that_is_not_there_is_a_problem(settled: Shell):
    with pytest.raises(Problem, match="has no ModelPortfolio other"):
        telling.chosen(await held(settled), "other")


@pytest.mark.parametrize("arguments", [["status"], ["plan", "-f", "x"]])
def test_a_context_that_is_not_there_is_named(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
):
    kubeconfig: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(kubeconfig))
    files = tmp_path / "desk.yaml"
    files.write_text(edited({}))
    given = [str(files) if each == "x" else each for each in arguments]

    assert run([*given, "--kubeconfig", str(path), "--context", "there"]) == 64
    assert "there is no context there" in capsys.readouterr().err


USERLESS = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "here",
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [],
    "contexts": [{"name": "here", "context": {"cluster": "c", "user": "gone"}}],
}


def test_a_kubeconfig_without_the_user_of_its_context_is_no_whole_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "config"
    path.write_text(json.dumps(USERLESS))
    assert run(["status", "--kubeconfig", str(path)]) == 64
    assert f"{path} is no whole kubeconfig" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"\xf9\xff\x00", b"[1, 2", b"contexts: 3"])
def test_a_kubeconfig_that_is_none_is_told_without_a_traceback(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "config"
    path.write_bytes(content)
    assert run(["status", "--kubeconfig", str(path)]) == 64
    assert "set KUBECONFIG, or --kubeconfig" in capsys.readouterr().err


def test_the_plugin_always_means_a_cluster(monkeypatch: pytest.MonkeyPatch):
    assert reading.where(None, None, None) is None
    assert reading.where(None, "bank", None) == reading.Where(namespace="bank")
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/kubectl-folio"])
    assert reading.where(None, None, None) == reading.Where()


def test_the_package_installs_the_plugin_as_an_executable(tmp_path: Path):
    """By which kubectl finds it, and by whose name it knows that a cluster is meant."""
    plugin = Path(sys.executable).with_name("kubectl-folio")
    environment = {**os.environ, "KUBECONFIG": str(tmp_path / "config")}
    done = subprocess.run(
        [plugin, "status"], capture_output=True, text=True, check=False, timeout=60, env=environment
    )

    assert (done.returncode, done.stderr.splitlines()[0]) == (64, "folio: no cluster is named")


@pytest.mark.parametrize("named", ["option", "variable", "neither"])
def test_a_kubeconfig_that_is_not_there_is_named_and_nothing_else_is_said(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    path = tmp_path / "config"
    if named == "variable":
        monkeypatch.setenv("KUBECONFIG", str(path))
    arguments = ["--kubeconfig", str(path)] if named == "option" else ["--namespace", "bank"]

    assert run(["status", *arguments]) == 64
    told = "~/.kube/config" if named == "neither" else path
    assert capfd.readouterr().err.splitlines() == [
        "folio: no cluster is named",
        f"  there is no file {told}",
        "  set KUBECONFIG, or --kubeconfig",
    ]


def test_files_with_nothing_to_plan_are_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    kubeconfig, files = tmp_path / "config", tmp_path / "pod.yaml"
    kubeconfig.write_text(json.dumps(USERLESS))
    files.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n")

    assert run(["plan", "-f", str(files), "--kubeconfig", str(kubeconfig)]) == 64
    assert "the files hold nothing of Folio's" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        (0, "does not answer"),
        (401, "renew what the kubeconfig says of its user"),
        (403, "kubectl auth can-i --list"),
        (404, "install its chart"),
    ],
)
def test_what_keeps_a_namespace_from_being_read_comes_with_its_fix(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    fix: str,
):
    async def refused(*_: object) -> None:
        raise ApiError(status, "no")

    user = {"users": [{"name": "gone", "user": {}}]}
    (tmp_path / "config").write_text(json.dumps({**USERLESS, **user}))
    monkeypatch.setattr(reading, "held", refused)
    assert run(["status", "--kubeconfig", str(tmp_path / "config"), "-n", "bank"]) == 1
    assert fix in capsys.readouterr().err

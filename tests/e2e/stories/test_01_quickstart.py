"""1: the quickstart from helm install to answers, with real vLLM models on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.stories import weights
from tests.e2e.stories.asking import Answer
from tests.e2e.stories.release import Release, run
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

MOST_FIRST_ANSWER_SECONDS = 240
MOST_READY_SECONDS = 420
MANIFEST = weights.QUICKSTART / "modelportfolio.yaml"
BIN = Path(sys.executable).parent
MODELS = ("triage", "minilm", "handbook", "desk-s", "general", "desk-l")
ASKED = {
    "bank": ("I lost my card", {"triage"}),
    "dates": ("To ISO: the third of March 2026", {"desk-s", "desk-l"}),
    "json": ("To JSON: Send 40 euros to Maria Lopez on 3 March 2026.", {"desk-s", "desk-l"}),
    "facts": ("Which rung may omit accept in a RoutingPolicy?", {"handbook"}),
    "general": ("What is the capital of France? Answer in one word.", {"general"}),
}


@pytest.fixture(scope="module")
def quickstart(story: Story, release: Release) -> Iterator[Story]:
    """The chart as a newcomer installs it: portfolios that name no image get the one with the CPU engine."""
    release.install(f"servingImage.engine={weights.ENGINE}")
    with weights.mounted(story):
        yield story
    release.install()


def ask(story: Story, task: str, seconds: float = 0) -> Answer:
    text, _ = ASKED[task]
    return weights.ask(story, "quickstart", text, task, seconds=seconds)


def test_it_answers_by_its_first_rung_and_then_by_every_model(
    quickstart: Story, figure: Callable[[str], None]
):
    figure(f"helm upgrade --install until the operator is ready {quickstart.release.seconds:.1f} s")
    quickstart.apply(MANIFEST.read_text(encoding="utf-8"))
    applied = time.time()
    first = ask(quickstart, "bank", MOST_FIRST_ANSWER_SECONDS)
    assert (first.status, first.model) == (200, "triage"), first.text
    figure(f"apply to the first answer {first.at - applied:.1f} s, by {first.model}")

    left = {*MODELS}
    came = []

    def all_ready() -> bool:
        states = {each["name"]: each["state"] for each in quickstart.status("quickstart").get("models", ())}
        for name in [each for each in MODELS if each in left and states.get(each) == "Ready"]:
            left.discard(name)
            came.append(f"{name} {time.time() - applied:.0f}")
        time.sleep(0.2)
        return not left

    wait_for("every model is Ready", all_ready, MOST_READY_SECONDS - (time.time() - applied))
    figure(f"apply to Ready, in seconds: {', '.join(came)}")
    quickstart.wait_ready("quickstart", seconds=30)


@pytest.mark.parametrize("task", ASKED)
def test_each_task_is_answered_by_a_model_of_its_ladder(quickstart: Story, task: str):
    answer = ask(quickstart, task)
    assert answer.status == 200, answer.text
    assert answer.model in ASKED[task][1]
    assert answer.says.strip()


def test_the_commands_of_the_guide_ask_it_and_change_it(
    quickstart: Story, figure: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """docs/guide/cluster.md from a shell: no client inside the cluster, `kubectl folio` as kubectl finds it."""
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    here = ("-n", quickstart.namespace.name)
    with forwarded(quickstart, "quickstart") as url:
        question = ASKED["dates"][0]
        assert "2026-03-03" in run("folio", "chat", "--url", url, question)
        assert "dates" in run("folio", "route", "--url", url, question)
    run("kubectl", "folio", "status", *here)

    before = {each["metadata"]["uid"] for each in quickstart.pods("quickstart")}
    edited = tmp_path / "modelportfolio.yaml"
    written = MANIFEST.read_text(encoding="utf-8")
    edited.write_text(written.replace('atLeast: "0.86"', 'atLeast: "0.87"'), encoding="utf-8")
    assert edited.read_text(encoding="utf-8") != written
    run("kubectl", "folio", "plan", "-f", str(edited), *here)  # ends with 0: in place
    began = time.monotonic()
    run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(edited), *here)
    run("kubectl", "wait", "--for=condition=Programmed", "routingpolicy/quickstart", "--timeout=2m", *here)
    figure(f"kubectl apply to Programmed {time.monotonic() - began:.1f} s")
    assert {each["metadata"]["uid"] for each in quickstart.pods("quickstart")} == before


@contextmanager
def forwarded(story: Story, service: str) -> Iterator[str]:
    """`kubectl port-forward` to a free port of this machine; the URL of the API behind it."""
    command = ("kubectl", "-n", story.namespace.name, "port-forward", f"service/{service}", ":8000")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("Forwarding from 127.0.0.1:"), line
            yield f"http://{line.split()[2]}/v1"
        finally:
            process.terminate()

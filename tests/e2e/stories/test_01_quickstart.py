"""1: the quickstart from helm install to answers, with real vLLM models on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.stories import weights
from tests.e2e.stories.asking import Answer
from tests.e2e.stories.release import Release
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

MOST_FIRST_ANSWER_SECONDS = 240
MOST_READY_SECONDS = 420
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
    quickstart.apply((weights.QUICKSTART / "modelportfolio.yaml").read_text(encoding="utf-8"))
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

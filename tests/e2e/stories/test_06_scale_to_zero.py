"""6: a model that sleeps is woken by a request, which the next rung answers meanwhile."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.stories import weights
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

DELAY_SECONDS = 20
MOST_UP_SECONDS = 180
MOST_WAKE_SECONDS = 240
POLL_SECONDS = 30
"""How often the operator asks a gateway at rest."""
LOOK_BACK_SECONDS = 30
"""Over which Serve averages what a replica has to do."""
MOST_SLEEP_SECONDS = DELAY_SECONDS + LOOK_BACK_SECONDS + POLL_SECONDS + 30
DATE = "To ISO: the third of March 2026"
SCALING = {"minReplicas": 0, "maxReplicas": 1, "scaleDownDelay": f"{DELAY_SECONDS}s"}


@pytest.fixture(scope="module")
def desk(story: Story) -> Iterator[Story]:
    """A model that sleeps, on a pool without a worker, above one that is always there."""
    with weights.mounted(story):
        entries = weights.on_cpu("sleeper", scaling=SCALING), {"name": "triage"}
        story.apply(weights.vllm("sleeper"), weights.triage(), weights.policy(["sleeper", "triage"]))
        story.apply(weights.portfolio(*entries, workers=0))
        story.wait_ready("desk", seconds=MOST_UP_SECONDS)
        yield story


def test_a_sleeping_model_is_idle_and_takes_no_worker(desk: Story):
    assert state(desk) == "Idle"
    assert desk.pods("desk", "pool-cpu") == []


def test_it_wakes_while_the_next_rung_answers(desk: Story, figure: Callable[[str], None]):
    first, woken, said = wake(desk)
    figure(f"first request to a sleeping model: answered by triage in {first:.2f} s")
    figure(f"then by the model after {woken:.1f} s, its worker's pod included")
    assert said <= POLL_SECONDS + 15
    figure(
        f"said to be waking after {said:.1f} s, with triage standing in and the portfolio as ready as before"
    )


def test_it_sleeps_again_and_wakes_again(desk: Story, figure: Callable[[str], None]):
    began = time.monotonic()
    wait_for("it is said to be awake", lambda: state(desk) == "Ready", POLL_SECONDS + 15)
    wait_for("it sleeps", lambda: state(desk) == "Idle", MOST_SLEEP_SECONDS)
    figure(
        f"said to be asleep {time.monotonic() - began:.1f} s after its last request, at scaleDownDelay {DELAY_SECONDS} s"
    )
    assert desk.condition("desk", "ModelsReady") == ("True", "AllReady")
    first, woken, _ = wake(desk)
    figure(f"woken again, with a worker there: {first:.2f} s and {woken:.1f} s")


def state(desk: Story) -> str:
    return str(desk.model("desk", "sleeper")["state"])


def wake(desk: Story) -> tuple[float, float, float]:
    """Ask until the model answers; return the seconds of the first request, those until it was the model, and
    those until it was said that it wakes: infinity where it was never said.
    """
    began = time.monotonic()
    answer = weights.ask(desk, "desk", DATE)
    first = time.monotonic() - began
    assert (answer.status, answer.model) == (200, "triage"), answer.text

    said = math.inf

    def answered() -> bool:
        nonlocal said
        status = desk.status("desk")  # once: model and condition are of one moment
        seen = next(each for each in status["models"] if each["name"] == "sleeper")
        if (seen["state"], seen.get("reason")) == ("Pending", "Waking"):
            said = min(said, time.monotonic() - began)
            assert seen["servedBy"] == "triage", seen
            ready = next(each for each in status["conditions"] if each["type"] == "ModelsReady")
            assert (ready["status"], ready["reason"]) == ("True", "AllReady")
        answer = weights.ask(desk, "desk", DATE)
        assert answer.status == 200, answer.text
        assert answer.model in ("triage", "sleeper")
        return answer.model == "sleeper"

    wait_for("the model answers", answered, MOST_WAKE_SECONDS)
    return first, time.monotonic() - began, said

"""4: one bad model leaves the rest serving, and recovers by a fixed spec alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.e2e.stories import weights
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

MOST_UP_SECONDS = 300
MOST_RECOVERY_SECONDS = 240
DATE = "To ISO: the third of March 2026"
POLICY = weights.policy(["desk"], typo=["typo", "desk"], lost=["lost", "desk"])
BAD = {
    "typo": "engineArgs.max_modle_len: vLLM has no such argument; did you mean max_model_len?",
    "lost": "volume://models/desk-x: volume 'models' has no path 'desk-x'",
}
"""The models that cannot start, each with what its status must say."""


@pytest.fixture(scope="module")
def desk(story: Story) -> Iterator[Story]:
    with weights.mounted(story):
        yield story


def test_bad_models_are_named_with_their_cause_and_their_stand_in(desk: Story, figure: Callable[[str], None]):
    models = (
        weights.vllm("desk"),
        weights.vllm("typo", max_modle_len=512),
        weights.vllm("lost", weights="desk-x"),
    )
    entries = (weights.on_cpu(name) for name in ("desk", "typo", "lost"))
    desk.apply(*models, POLICY, weights.portfolio(*entries))
    applied = time.time()
    answer = weights.ask(desk, "desk", DATE, seconds=MOST_UP_SECONDS)
    assert (answer.status, answer.model) == (200, "desk"), answer.text
    figure(f"apply to the first answer, with two bad models of three: {answer.at - applied:.1f} s")

    found = wait_for("both are Failed", lambda: degraded(desk), 90)
    for name, cause in BAD.items():
        said = next(each for each in found["models"] if each["name"] == name)
        assert cause in said["message"]
        assert "\n" not in said["message"]
        assert said["servedBy"] == "desk"


def test_the_rest_serves(desk: Story):
    assert desk.condition("desk", "Accepted") == ("True", "Valid")
    assert desk.condition("desk", "Ready")[0] == "True"
    for task in ("", *BAD):
        answer = weights.ask(desk, "desk", DATE, task)
        assert (answer.status, answer.model) == (200, "desk"), answer.text


def test_a_fixed_spec_recovers_without_help(desk: Story, figure: Callable[[str], None]):
    before = {each["metadata"]["uid"] for each in desk.pods("desk")}
    desk.apply(*(weights.vllm(name) for name in BAD))
    fixed = time.monotonic()
    desk.wait_condition("desk", "ModelsReady", seconds=MOST_RECOVERY_SECONDS)
    figure(f"fixed specs to all models Ready: {time.monotonic() - fixed:.1f} s, two engines at once")
    for name in BAD:
        answer = weights.ask(desk, "desk", DATE, name)
        assert (answer.status, answer.model) == (200, name), answer.text
    assert {each["metadata"]["uid"] for each in desk.pods("desk")} == before


def degraded(desk: Story) -> dict[str, Any]:
    """Return one status that says Failed of both, and that the rest serves.

    A model that is tried again is Loading for some seconds, and an answer may come a moment before its status.
    """
    found = desk.status("desk")
    failed = {each["name"] for each in found.get("models", ()) if each["state"] == "Failed"}
    conditions = {each["type"]: (each["status"], each["reason"]) for each in found.get("conditions", ())}
    wanted = {"ModelsReady": ("False", "Degraded"), "Ready": ("True", "Answering")}
    return found if failed == {*BAD} and wanted.items() <= conditions.items() else {}

"""2: a policy edit under load loses no request."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.e2e.stories import light
from tests.e2e.stories.story import Story

from folio_operator import cluster as kinds

GATEWAYS = 2
MOST_CONFIRM_SECONDS = 15.0


@pytest.fixture(scope="module")
def desk(story: Story) -> Story:
    """The portfolio with two gateway replicas, and when it was applied."""
    story.apply(light.everything(story.client.start_provider(), replicas=GATEWAYS))
    return story


def test_the_portfolio_comes_up_and_answers(desk: Story, figure: Callable[[str], None]):
    began = time.time()
    answer = desk.client.chat("desk", "my bicycle", seconds=300)
    assert answer.status == 200, answer.text
    ready = desk.wait_ready("desk") + time.time() - answer.at
    figure(f"apply to first answer {answer.at - began:.1f} s, all is Ready {ready:.1f} s later")
    triage = desk.client.chat("desk", "my bicycle")
    assert (triage.model, triage.says) == ("triage", "rental")
    assert len(desk.pods("desk", "gateway")) == GATEWAYS


def test_an_edit_under_load_reaches_every_replica_and_loses_nothing(
    desk: Story, figure: Callable[[str], None]
):
    before = {each["metadata"]["uid"] for each in desk.pods("desk")}
    took = []
    with desk.client.load("desk", "my bicycle") as load:
        for at_least in ("1.00", "0.50", "1.00"):
            time.sleep(3)
            edited = time.time()
            desk.apply(light.policy(at_least))
            desk.wait_condition("default", "Programmed", kind=kinds.POLICY, seconds=60)
            took.append(time.time() - edited)
        confirmed = time.time()
        time.sleep(3)
    figure(f"policy edit under load: {load.figure()}")
    figure(f"apply to confirmed by {GATEWAYS} replicas: {', '.join(f'{each:.1f}' for each in took)} s")

    assert not load.lost, load.losses()
    assert {each.model for each in load.requests if each.at > confirmed} == {"provider"}
    assert {each["metadata"]["uid"] for each in desk.pods("desk")} == before
    assert max(took) < MOST_CONFIRM_SECONDS

"""8: references come in any order, go while they are used, and change their names; what serves goes on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import partial

import pytest
from tests.e2e.stories import light
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

from folio_operator import cluster as kinds

MISSING = ("PolicyNotFound", "ModelNotFound")
MOST_ACCEPT_SECONDS = 15.0


@pytest.fixture(scope="module")
def url(story: Story) -> str:
    return story.client.start_provider()


@pytest.fixture(scope="module")
def desk(story: Story, url: str) -> Story:
    """A portfolio whose references come after it, the policy last of all."""
    story.apply(light.portfolio(), light.head(), light.provider(url), light.triage())
    story.wait_condition("desk", "Accepted", "False", reason="PolicyNotFound", seconds=30)
    assert story.namespace.get(kinds.RAY_SERVICE, "desk") is None
    story.apply(light.policy())
    return story


def renamed(document: light.Document, number: int) -> light.Document:
    """Return one of several sets of the same objects, whose portfolio starts no pods."""
    copy = {**document, "metadata": {"name": f"{document['metadata']['name']}-{number}"}}
    if document["kind"] == "ModelPortfolio":
        models = [{"name": name, "modelRef": {"name": f"{name}-{number}"}} for name in ("triage", "provider")]
        spec = {**document["spec"], "policyRef": {"name": f"default-{number}"}, "models": models}
        return {**copy, "spec": {**spec, "suspend": True}}
    return copy


def test_every_order_of_the_references_ends_in_the_same(
    story: Story, url: str, figure: Callable[[str], None]
):
    objects = (light.triage(), light.provider(url), light.policy(), light.portfolio())
    orders = list(itertools.permutations(objects))
    slowest = 0.0
    for number, order in enumerate(orders):
        portfolio = f"desk-{number}"
        for document in order[:-1]:
            story.apply(renamed(document, number))
            if story.namespace.get(kinds.PORTFOLIO, portfolio) is not None:
                wait_for("what is missing is named", partial(_is_refused, story, portfolio), 30)
        story.apply(renamed(order[-1], number))
        slowest = max(slowest, story.wait_condition(portfolio, "Accepted", seconds=30))
    figure(f"{len(orders)} orders of 4 objects: accepted at most {slowest:.1f} s after the last came")
    assert slowest < MOST_ACCEPT_SECONDS
    for number in range(len(orders)):
        story.delete(kinds.PORTFOLIO, f"desk-{number}")


def test_a_portfolio_whose_policy_comes_last_answers(desk: Story, figure: Callable[[str], None]):
    began = time.time()
    answer = desk.client.chat("desk", "my bicycle", seconds=180)
    assert answer.says == "rental", answer.text
    desk.wait_ready("desk")
    figure(f"policy to first answer {answer.at - began:.1f} s")


def test_a_policy_that_is_deleted_while_it_is_used_goes_on_serving(
    desk: Story, figure: Callable[[str], None]
):
    pods = {each["metadata"]["uid"] for each in desk.pods("desk")}
    revision = desk.status("desk")["active"]["revision"]
    with desk.client.load("desk", "my bicycle") as load:
        desk.delete(kinds.POLICY, "default")
        said = desk.wait_condition("desk", "Accepted", "False", reason="PolicyNotFound", seconds=30)
        time.sleep(5)
        assert desk.condition("desk", "Ready")[0] == "True"
        desk.apply(light.policy())
        desk.wait_condition("desk", "Accepted", seconds=30)
        time.sleep(3)
    figure(f"policy deleted and back, told after {said:.1f} s: {load.figure()}")
    assert not load.lost, load.losses()
    assert load.revisions == [revision]
    assert {each["metadata"]["uid"] for each in desk.pods("desk")} == pods


def test_a_model_is_renamed_object_by_object_and_nothing_is_lost(desk: Story, figure: Callable[[str], None]):
    """As a GitOps tool does it: each object by itself, so that what refers to it is wrong for a while."""
    pods = {each["metadata"]["uid"] for each in desk.pods("desk")}
    accept = {"signal": "Score", "atLeast": "0.50"}
    ladder = [{"model": "sorting", "accept": accept}, {"model": "provider"}]
    policy = light.resource("RoutingPolicy", "default", {"defaultLadder": ladder})
    with desk.client.load("desk", "my bicycle") as load:
        time.sleep(2)
        desk.apply(policy)
        desk.wait_condition("desk", "Accepted", "False", reason="UnknownRung", seconds=30)
        desk.apply(light.portfolio(models=[{"name": "sorting"}, {"name": "provider"}]))
        desk.wait_condition("desk", "Accepted", "False", reason="ModelNotFound", seconds=30)
        desk.apply(light.triage("sorting"))
        began = time.time()
        desk.wait_ready("desk", seconds=120)
        took = time.time() - began
        desk.delete(kinds.MODEL, "triage")
        time.sleep(4)
    figure(f"model renamed under load: Ready by its new name after {took:.1f} s; {load.figure()}")
    assert not load.lost, load.losses()
    assert load.requests[-1].model == "sorting"
    assert desk.condition("desk", "Accepted") == ("True", "Valid")
    assert {each["metadata"]["uid"] for each in desk.pods("desk")} == pods


def _is_refused(story: Story, portfolio: str) -> bool:
    status, reason = story.condition(portfolio, "Accepted")
    return status == "False" and reason in MISSING

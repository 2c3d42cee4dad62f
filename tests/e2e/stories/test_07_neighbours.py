"""7: two portfolios in one namespace and one in another share models and names, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes import client
from tests.e2e.stories import light
from tests.e2e.stories.release import Release
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

from folio_operator import cluster as kinds

UP_SECONDS = 420
"""Three Ray clusters start at once, on whatever machine this is."""
OTHER_SAYS = "the other provider says so"
OFFICE_MODELS = [{"name": "kind", "modelRef": {"name": "triage"}}, {"name": "provider"}]


@dataclass(frozen=True)
class Neighbours:
    """desk and office in one namespace, with the same models; another desk in another, with names alike."""

    one: Story
    two: Story
    provider_url: str

    def revisions(self) -> dict[str, str]:
        where = {"desk": (self.one, "desk"), "office": (self.one, "office"), "other desk": (self.two, "desk")}
        return {
            name: str(story.status(portfolio).get("active", {}).get("revision"))
            for name, (story, portfolio) in where.items()
        }


def office_policy() -> light.Document:
    """Return a policy that calls triage by office's own name, and is never sure enough of it."""
    accept = {"signal": "Score", "atLeast": "1.00"}
    ladder = [{"model": "kind", "accept": accept}, {"model": "provider"}]
    return light.resource("RoutingPolicy", "office", {"defaultLadder": ladder})


@pytest.fixture(scope="module")
def other_story(api: client.ApiClient, release: Release) -> Iterator[Story]:
    found = Story.begin(api, release)
    try:
        found.client.start()
        yield found
    finally:
        found.end()


@pytest.fixture(scope="module")
def neighbours(story: Story, other_story: Story) -> Neighbours:
    url = story.client.start_provider()
    other_url = other_story.client.start_provider(says=OTHER_SAYS)
    office = light.portfolio("office", policyRef={"name": "office"}, models=OFFICE_MODELS)
    story.apply(light.everything(url), office_policy(), office)
    other_story.apply(light.everything(other_url), light.policy("1.00"))
    return Neighbours(story, other_story, url)


def test_all_three_come_up_and_each_answers_by_its_own_policy(
    neighbours: Neighbours, figure: Callable[[str], None]
):
    one, two = neighbours.one, neighbours.two
    took = one.wait_ready("desk", "office", seconds=UP_SECONDS) + two.wait_ready("desk", seconds=UP_SECONDS)
    figure(f"three portfolios at once, all Ready after {took:.0f} s")

    desk, office = (one.client.chat(name, "my bicycle") for name in ("desk", "office"))
    assert (desk.model, desk.says) == ("triage", "rental")
    assert (office.model, office.says) == ("provider", "the provider says so")
    other = two.client.chat("desk", "my bicycle")
    assert (other.model, other.says) == ("provider", OTHER_SAYS)
    listed = one.client.http(f"{one.client.url('office')}/v1/models").body["data"]
    assert {"kind", "provider"} <= {each["id"] for each in listed}
    assert "triage" not in {each["id"] for each in listed}


def test_a_name_of_another_namespace_is_another_portfolio(neighbours: Neighbours):
    found = neighbours.one.client.http(
        f"{neighbours.one.client.url('desk', neighbours.two.namespace.name)}/v1/chat/completions",
        {"model": "folio", "messages": [{"role": "user", "content": "my bicycle"}]},
    )
    assert found.says == OTHER_SAYS


def test_no_child_belongs_to_two(neighbours: Neighbours):
    one = neighbours.one.namespace
    uids = {each["metadata"]["name"]: each["metadata"]["uid"] for each in one.list(kinds.PORTFOLIO)}
    for kind in (*kinds.CHILDREN, kinds.SECRET):
        for each in one.list(kind):
            named = each["metadata"].get("labels", {}).get("folio.dev/portfolio")
            if named is not None:
                owners = [owner["uid"] for owner in each["metadata"]["ownerReferences"]]
                assert owners == [uids[named]], each["metadata"]["name"]
    tokens = [
        story.namespace.get(kinds.SECRET, f"{name}-gateway")["data"]["internal-token"]  # type: ignore[index]
        for story, name in ((neighbours.one, "desk"), (neighbours.one, "office"), (neighbours.two, "desk"))
    ]
    assert len(set(tokens)) == len(tokens)
    for portfolio in ("desk", "office"):
        pods = neighbours.one.pods(portfolio)
        assert {_role(each) for each in pods} == {"head", "gateway"}
        assert all(each["metadata"]["name"].startswith(f"{portfolio}-") for each in pods)


def test_a_shared_model_speaks_for_both_and_its_edit_reaches_both(
    neighbours: Neighbours, figure: Callable[[str], None]
):
    one, two = neighbours.one, neighbours.two
    assert _users(one, "triage") == {"desk": "Ready", "office": "Ready"}
    assert _users(two, "triage") == {"desk": "Ready"}

    before = neighbours.revisions()
    dearer = light.provider(neighbours.provider_url)
    dearer["spec"]["cost"]["perMillionTokens"]["output"] = "3"
    one.apply(dearer)
    took = one.wait_condition("provider", "Ready", kind=kinds.MODEL, seconds=60)
    wait_for("both have it", lambda: _moved(before, neighbours) == {"desk", "office"}, 60)
    figure(f"edit of a shared model: both portfolios confirmed it after {took:.1f} s")
    assert _moved(before, neighbours) == {"desk", "office"}


def test_an_edit_of_one_policy_is_an_edit_of_its_portfolio_alone(neighbours: Neighbours):
    before = neighbours.revisions()
    neighbours.one.apply(light.policy(deadline="29s"))
    wait_for("desk has it", lambda: "desk" in _moved(before, neighbours), 60)
    assert _moved(before, neighbours) == {"desk"}


def test_a_name_that_is_taken_is_refused_and_harms_nobody(neighbours: Neighbours):
    """KubeRay calls the head of RayService desk by this name."""
    one = neighbours.one
    before = neighbours.revisions()
    one.apply(light.portfolio("desk-head-svc"))
    one.wait_condition("desk-head-svc", "Stalled", "True", reason="NameConflict", seconds=30)
    assert one.namespace.get(kinds.RAY_SERVICE, "desk-head-svc") is None
    assert one.client.chat("desk", "my bicycle").says == "rental"
    one.delete(kinds.PORTFOLIO, "desk-head-svc")
    wait_for("it goes", lambda: one.namespace.get(kinds.PORTFOLIO, "desk-head-svc") is None, 30)
    assert _moved(before, neighbours) == set()


def test_one_that_goes_takes_nothing_of_the_other_along(neighbours: Neighbours):
    one = neighbours.one
    one.delete(kinds.PORTFOLIO, "office")
    wait_for("office is gone", lambda: not one.pods("office"), 60)
    wait_for("the model knows", lambda: _users(one, "triage") == {"desk": "Ready"}, 30)
    assert one.client.chat("desk", "my bicycle").says == "rental"


def _moved(before: dict[str, str], neighbours: Neighbours) -> set[str]:
    return {name for name, revision in neighbours.revisions().items() if revision != before[name]}


def _users(story: Story, model: str) -> dict[str, str]:
    found = story.status(model, kinds.MODEL).get("portfolios", ())
    return {each["name"]: each["state"] for each in found}


def _role(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["labels"]["folio.dev/role"])

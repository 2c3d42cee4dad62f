"""3: models are upgraded and added under load, and no request is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.e2e.stories import weights
from tests.e2e.stories.load import Load
from tests.e2e.stories.story import Story
from tests.e2e.world import secret, wait_for

MOST_UP_SECONDS = 300
MOST_UPGRADE_SECONDS = 240
DATE = "To ISO: the third of March 2026"
KEYS = {"search": "a-key-of-the-search-team", "support": "a-key-of-the-support-team"}
AUTH = {"auth": {"apiKeys": {"secretRef": {"name": "keys"}}}}
LORA = {"maxAdapters": 2, "maxRank": 8}
NOT_TWICE = "600m"
"""Of the worker's one: the new replica begins when the old one is drained and gone, as on a single GPU."""
RATE = {"clients": 4, "per_second": 4, "max_tokens": 16}
"""What two cores answer while they start an engine."""
SEARCH = {"authorization": f"Bearer {KEYS['search']}"}
SUPPORT = {"authorization": f"Bearer {KEYS['support']}"}


def entries(strategy: str, *more: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    desk = weights.on_cpu("desk", updateStrategy={"type": strategy})
    return (desk, weights.on_cpu("general"), *more)


def portfolio(strategy: str, *more: dict[str, Any]) -> dict[str, Any]:
    return weights.portfolio(*entries(strategy, *more), gateway=AUTH)


@pytest.fixture(scope="module")
def desk(story: Story) -> Iterator[Story]:
    """A small model above a larger one that has room for adapters."""
    with weights.mounted(story):
        story.apply(weights.vllm("desk"), weights.vllm("general", weights="general", lora=LORA))
        story.apply(secret("keys", search=KEYS["search"]), weights.policy(["desk", "general"]))
        story.apply(portfolio("RollingUpdate"))
        story.wait_ready("desk", seconds=MOST_UP_SECONDS)
        yield story


def test_a_rolling_update_with_surge_loses_nothing(desk: Story, figure: Callable[[str], None]):
    with desk.client.load("desk", DATE, headers=SEARCH, **RATE) as load:
        took = upgraded(desk, max_num_seqs=12)
    figure(f"RollingUpdate: {load.figure()}, done after {took:.1f} s; {shares(load)}")
    assert not load.lost, load.losses()
    assert set(load.models) == {"desk"}


def test_at_a_recreation_the_next_rung_stands_in_and_nothing_is_lost(
    desk: Story, figure: Callable[[str], None]
):
    desk.apply(portfolio("Recreate"))
    desk.wait_ready("desk", seconds=60)
    with desk.client.load("desk", DATE, headers=SEARCH, **RATE) as load:
        took = upgraded(desk, max_num_seqs=8, cpu=NOT_TWICE)
        back = time.time()
        time.sleep(3)
    figure(f"Recreate: {load.figure()}, done after {took:.1f} s; {shares(load)}")
    assert not load.lost, load.losses()
    assert load.models["general"] > 0
    assert {each.model for each in load.requests if each.at > back} == {"desk"}


def test_a_model_a_key_and_an_adapter_are_added_without_another_pod(
    desk: Story, figure: Callable[[str], None]
):
    before = running(desk)
    with desk.client.load("desk", DATE, headers=SEARCH, **RATE) as load:
        time.sleep(2)
        edited = time.monotonic()
        added = portfolio("Recreate", {"name": "triage"}, weights.on_cpu("desk-l"))
        added["metadata"]["annotations"] = {"folio.dev/refresh": "the support team has a key"}
        desk.apply(secret("keys", **KEYS), weights.triage(), weights.adapter("desk-l", "general"))
        desk.apply(weights.policy(["desk", "general"], bank=["triage"], json=["desk-l"]), added)
        desk.wait_ready("desk", seconds=MOST_UPGRADE_SECONDS)
        models = time.monotonic() - edited
        wait_for(
            "the new key opens", lambda: weights.ask(desk, "desk", DATE, headers=SUPPORT).status == 200, 120
        )
        key = time.monotonic() - edited
    figure(f"a model, a key and an adapter: {load.figure()}; models after {models:.1f} s, key {key:.1f} s")
    assert not load.lost, load.losses()
    assert weights.ask(desk, "desk", "I lost my card", "bank", headers=SUPPORT).model == "triage"
    assert (
        weights.ask(desk, "desk", "To JSON: Send 40 euros to Maria.", "json", headers=SUPPORT).model
        == "desk-l"
    )
    assert running(desk) == before


def upgraded(desk: Story, **arguments: Any) -> float:
    """Give the model other engine arguments; return the seconds until the new one alone answers."""
    time.sleep(2)
    began = time.monotonic()
    desk.apply(weights.vllm("desk", **arguments))
    wait_for("the model is updating", lambda: desk.model("desk", "desk")["state"] != "Ready", 60)
    desk.wait_ready("desk", seconds=MOST_UPGRADE_SECONDS)
    return time.monotonic() - began


def shares(load: Load) -> str:
    return ", ".join(f"{count} by {model}" for model, count in sorted(load.models.items()))


def running(desk: Story) -> dict[str, list[int]]:
    """Return every pod of the portfolio with its containers' restarts."""
    return {
        each["metadata"]["uid"]: [one["restartCount"] for one in each["status"]["containerStatuses"]]
        for each in desk.pods("desk")
    }

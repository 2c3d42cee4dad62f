import os
from pathlib import Path

import pytest
import yaml

import portfolio
from analysis.matrix import Reply, save_replies
from cpu_clock import Process, descendants, running
from demo import SHOWN_PER_TASK, shown_items
from evidence import TamperedError, evidence
from folio_api.load import Text
from folio_api.load import load as load_resources
from folio_operator.checks import failures
from folio_operator.world import Portfolio
from tasks.evaluation import FILE
from tasks.items import Split, Task, load


def world(text: str) -> Portfolio:
    loaded = load_resources([Text("quickstart.yaml", text)])
    assert not loaded.errors
    (resource,), (policy,) = loaded.portfolios.values(), loaded.policies.values()
    specialists = {model.metadata.name: model for model in loaded.models.values()}
    return Portfolio(resource=resource, policy=policy, specialists=specialists)


def test_the_portfolio_passes_every_check() -> None:
    assert failures(world(portfolio.FILE.read_text())) == ()


def test_the_policy_that_asks_one_by_one_passes_every_check_too() -> None:
    assert failures(world(portfolio.one_by_one())) == ()


def test_every_ladder_climbs_models_that_the_matrix_has_answers_of() -> None:
    for ladder in portfolio.ladders(portfolio.policy()).values():
        assert {rung.model for rung in ladder.rungs} <= set(portfolio.SIGNALS)


def test_only_the_facts_refuse() -> None:
    ladders = portfolio.ladders(portfolio.policy())
    assert [name for name, ladder in ladders.items() if ladder.refuses] == ["facts"]


def test_one_intent_is_added_for_each_model() -> None:
    documents = list(yaml.safe_load_all(portfolio.one_by_one()))
    intents = next(d for d in documents if d["kind"] == "RoutingPolicy")["spec"]["intents"]
    added = {intent["name"] for intent in intents if intent["name"].startswith("only-")}
    assert added == {portfolio.only(model) for model in portfolio.SIGNALS}


def test_forty_items_are_shown_eight_of_each_task() -> None:
    test = [item for item in load(FILE) if item.split is Split.TEST]
    shown = shown_items(test)
    assert len({item.id for item in shown}) == 40
    assert all(sum(item.task is task for item in shown) == SHOWN_PER_TASK for task in Task)


def test_a_matrix_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    save_replies(tmp_path / "replies.jsonl", [Reply("x", "triage", "y", 1.0, 0.1, 0.0, 0.1)])
    (tmp_path / "about.json").write_text('{"sha256": {"replies.jsonl": "0"}}')
    with pytest.raises(TamperedError, match=r"replies\.jsonl"):
        evidence(tmp_path)


def test_descendants_are_found_through_every_generation() -> None:
    family = [Process(1, 0, "a", 1), Process(2, 1, "b", 2), Process(3, 2, "c", 4), Process(9, 0, "d", 8)]
    assert sum(process.cpu_seconds for process in descendants(family, {1})) == 7


def test_this_process_is_among_the_running_ones() -> None:
    assert os.getpid() in {process.pid for process in running()}

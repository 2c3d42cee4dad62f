"""What the committed response matrix says, and that the policy and the models say the same."""

import pytest

import portfolio
from analysis import strategies
from analysis.table import gain_over_mixture, per_task
from choose import BANK, bank_doubt, chosen
from evidence import Evidence, evidence
from tasks.items import Split, Task


@pytest.fixture(scope="module")
def found() -> Evidence:
    return evidence()


def test_the_thresholds_of_the_policy_are_those_of_the_validation_split(found: Evidence) -> None:
    written = portfolio.ladders(portfolio.policy())
    assert {intent: written[intent].rungs[0].at_least for intent in chosen(found)} == chosen(found)


def test_bank_messages_have_a_second_rung_where_it_beats_triage_on_what_triage_is_unsure_of(
    found: Evidence,
) -> None:
    rungs = portfolio.ladders(portfolio.policy())[BANK].rungs
    assert (len(rungs) > 1) == bank_doubt(found).second_rung_pays


@pytest.mark.parametrize("task", [Task.PAYMENT, Task.DATE])
def test_the_larger_desk_is_five_points_better_alone(found: Evidence, task: Task) -> None:
    small, large = (
        per_task(found.test, strategies.alone(found.test, model))[task] for model in ("desk-s", "desk-l")
    )
    assert large >= small + 0.05


def test_the_table_is_computed_on_at_least_600_items_that_no_threshold_was_chosen_on(found: Evidence) -> None:
    assert len(found.test.items) >= 600
    assert {item.split for item in found.test.items} == {Split.TEST}


def test_the_portfolio_gains_over_the_random_mixture_of_equal_cost(found: Evidence) -> None:
    outcome = strategies.portfolio(found.test, portfolio.ladders(portfolio.policy()))
    assert gain_over_mixture(found.test, outcome).low > 0

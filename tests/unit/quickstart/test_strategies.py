import numpy as np
import pytest

from analysis.matrix import IncompleteError, Matrix, Reply, matrix
from analysis.strategies import (
    REFUSED,
    Ladder,
    Rung,
    alone,
    best_per_intent,
    blind,
    by_table,
    climb,
    equal_cost_shares,
    oracle,
    portfolio,
)
from tasks.items import Item, Split, Task

SMALL, LARGE = 0, 1


def made(right, confidence, cost=((1, 10),), intents=None, refusal=None) -> Matrix:
    """Two models, `small` and `large`, on as many items as `right` has rows."""
    rows = len(right)
    costs = np.array(cost * rows if len(cost) == 1 else cost, dtype=float)
    return Matrix(
        items=tuple(Item(str(n), Task.BANK, f"q{n}", ("x",), Split.TEST) for n in range(rows)),
        models=("small", "large"),
        right=np.array(right, dtype=float),
        confidence=np.array(confidence, dtype=float),
        cpu_seconds=costs,
        usd=costs / 1000,
        latency_seconds=costs,
        refusal_right=np.array(refusal or [0] * rows, dtype=float),
        intents=tuple(intents or ["bank"] * rows),
    )


LADDER = {"bank": Ladder((Rung("small", 0.5), Rung("large")))}


def test_a_sure_draft_is_given_and_costs_one_call() -> None:
    found = portfolio(made([[1, 0]], [[0.9, 0.9]]), LADDER)
    assert found.right.tolist() == [1]
    assert found.cpu_seconds.tolist() == [1]


def test_an_unsure_draft_is_paid_for_although_it_is_rejected() -> None:
    found = portfolio(made([[1, 0]], [[0.4, 0.9]]), LADDER)
    assert found.right.tolist() == [0]
    assert found.cpu_seconds.tolist() == [11]
    assert found.calls.tolist() == [[1, 1]]
    assert found.answered.tolist() == [[0, 1]]


def test_a_threshold_is_met_by_equality() -> None:
    assert climb(made([[1, 0]], [[0.5, 0.9]]), 0, LADDER["bank"]) == ([SMALL], SMALL)


def test_a_ladder_without_a_sure_rung_returns_the_surest_draft() -> None:
    ladder = Ladder((Rung("small", 0.9), Rung("large", 0.9)))
    assert climb(made([[1, 0]], [[0.6, 0.3]]), 0, ladder) == ([SMALL, LARGE], SMALL)


def test_a_ladder_that_refuses_gives_no_draft() -> None:
    ladder = Ladder((Rung("small", 0.9),), refuses=True)
    assert climb(made([[1, 0]], [[0.6, 0.3]]), 0, ladder) == ([SMALL], REFUSED)


def test_a_refusal_is_right_only_where_nothing_could_be_answered() -> None:
    answers = made([[1, 0], [0, 0]], [[0.1, 0], [0.1, 0]], refusal=[0, 1])
    assert portfolio(answers, {"bank": Ladder((Rung("small", 0.5),), refuses=True)}).right.tolist() == [0, 1]


def test_a_misrouted_item_climbs_the_ladder_of_the_intent_it_was_given() -> None:
    answers = made([[1, 0], [1, 0]], [[0.9, 0.9], [0.9, 0.9]], intents=["bank", "general"])
    assert portfolio(answers, LADDER | {"general": Ladder((Rung("large"),))}).right.tolist() == [1, 0]


def test_a_blind_assignment_is_the_exact_expectation() -> None:
    found = blind(made([[1, 0], [1, 1]], [[0, 0], [0, 0]]), np.array([0.25, 0.75]))
    assert found.right.tolist() == [0.25, 1.0]
    assert found.cpu_seconds.tolist() == [7.75, 7.75]


def test_the_mixture_of_equal_cost_spends_what_the_portfolio_spends() -> None:
    answers = made([[0, 1], [0, 1], [1, 1]], [[0, 0]] * 3)
    shares = equal_cost_shares(answers, 5.5)
    assert shares.tolist() == [0.5, 0.5]
    assert blind(answers, shares).cpu_seconds.mean() == pytest.approx(5.5)


def test_the_mixture_never_pays_for_a_model_that_is_no_better() -> None:
    assert equal_cost_shares(made([[1, 0], [1, 1]], [[0, 0]] * 2), 9.0).tolist() == [1, 0]


def test_a_mixture_with_money_for_the_best_model_asks_it_alone() -> None:
    assert equal_cost_shares(made([[0, 1]], [[0, 0]]), 30.0).tolist() == [0, 1]


def test_a_mixture_with_too_little_for_any_model_is_the_cheapest() -> None:
    assert equal_cost_shares(made([[0, 1]], [[0, 0]]), 0.5).tolist() == [1, 0]


def test_the_oracle_asks_the_cheapest_model_that_is_right() -> None:
    found = oracle(made([[1, 1], [0, 1], [0, 0]], [[0, 0]] * 3))
    assert found.right.tolist() == [1, 1, 0]
    assert found.cpu_seconds.tolist() == [1, 10, 1]


def test_the_oracle_refuses_what_cannot_be_answered() -> None:
    assert oracle(made([[0, 0]], [[0, 0]], refusal=[1])).right.tolist() == [1]


def test_the_intent_table_is_learned_on_validation_and_prefers_the_cheaper_of_equals() -> None:
    validation = made([[1, 1], [0, 1]], [[0, 0]] * 2, intents=["bank", "date"])
    test = made([[0, 1], [1, 0]], [[0, 0]] * 2, intents=["bank", "date"])
    table = best_per_intent(test, validation)
    assert table == {"bank": "small", "date": "large"}
    assert by_table(test, table).right.tolist() == [0, 0]


def test_latency_of_a_random_strategy_is_a_quantile_of_the_mixture_not_of_the_means() -> None:
    found = blind(made([[1, 1]] * 10, [[0, 0]] * 10), np.array([0.9, 0.1]))
    assert (found.latency_p50_seconds, found.latency_p95_seconds) == (1, 10)


def test_one_model_alone_answers_everything() -> None:
    found = alone(made([[1, 0], [1, 0]], [[0, 0]] * 2), "large")
    assert found.quality == 0
    assert found.calls.tolist() == [[0, 1], [0, 1]]


def test_a_matrix_with_a_missing_answer_is_refused_by_name() -> None:
    item = Item("bank-1", Task.BANK, "q", ("x",), Split.TEST)
    reply = Reply("bank-1", "small", "x", 1.0, 0.1, 0.0, 0.1)
    with pytest.raises(IncompleteError, match=r"bank-1.*large"):
        matrix([item], ["small", "large"], [reply], {"bank-1": "bank"})


def test_an_error_is_a_wrong_answer() -> None:
    item = Item("bank-1", Task.BANK, "q", ("",), Split.TEST)
    reply = Reply("bank-1", "small", "", 0.0, 0.1, 0.0, 0.1, error="TaskMismatch")
    assert matrix([item], ["small"], [reply], {"bank-1": "bank"}).right.tolist() == [[0]]

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from analysis.bootstrap import Interval, interval
from analysis.matrix import Matrix
from analysis.strategies import Ladder, Rung, portfolio
from analysis.table import answer_shares, gain_over_mixture, gain_sentence, report
from analysis.thresholds import choose, doubt
from demo import show_table
from evidence import evidence
from tasks.items import Item, Split, Task

LADDERS = {
    "bank": Ladder((Rung("small", 0.5), Rung("large"))),
    "facts": Ladder((Rung("small", 0.5),), refuses=True),
}


def drawn(items: int, informative: bool) -> Matrix:
    """The small model is right half the time; its confidence says so, or says nothing. The large one is always right."""
    rng = np.random.default_rng(3)
    small = rng.integers(0, 2, items).astype(float)
    sure = small if informative else rng.random(items)
    costs = np.tile([1.0, 10.0], (items, 1))
    return Matrix(
        items=tuple(Item(str(n), Task.BANK, f"q{n}", ("x",), Split.TEST) for n in range(items)),
        models=("small", "large"),
        right=np.stack([small, np.ones(items)], axis=1),
        confidence=np.stack([sure, np.ones(items)], axis=1),
        cpu_seconds=costs,
        usd=costs / 3600,
        latency_seconds=costs,
        refusal_right=np.zeros(items),
        intents=("bank",) * items,
    )


def test_an_informative_confidence_gains_over_the_mixture_of_equal_cost() -> None:
    answers = drawn(400, informative=True)
    gain = gain_over_mixture(answers, portfolio(answers, LADDERS))
    assert gain.low > 0.1
    assert "holds 0" not in gain_sentence(gain)


def test_a_confidence_that_knows_nothing_gains_nothing() -> None:
    answers = drawn(400, informative=False)
    assert gain_over_mixture(answers, portfolio(answers, LADDERS)).low < 0.02


def test_the_sentence_says_so_where_the_interval_holds_zero() -> None:
    assert "holds 0" in gain_sentence(Interval(0.01, -0.01, 0.03))


def test_the_report_has_every_strategy_of_the_comparison() -> None:
    answers = drawn(60, informative=True)
    found = report(answers, answers, LADDERS, largest="large")
    assert [row.name for row in found.rows] == [
        "portfolio",
        "small alone",
        "large alone",
        "blind, same call shares",
        "random mixture, equal cost",
        "intent to best model",
        "always largest (large)",
        "oracle",
    ]


def test_the_demo_shows_the_table_whole_in_80_columns() -> None:
    console = Console(width=80, record=True, file=StringIO())
    show_table(console, evidence())
    shown = console.export_text()
    assert "…" not in shown
    assert "always largest (desk-l)" in shown


def test_random_mixture_of_the_report_costs_no_more_than_the_portfolio() -> None:
    answers = drawn(60, informative=True)
    rows = {row.name: row for row in report(answers, answers, LADDERS, largest="large").rows}
    assert rows["random mixture, equal cost"].cpu_ms_per_query <= rows["portfolio"].cpu_ms_per_query + 1e-6


def test_shares_name_who_answered_and_what_was_refused() -> None:
    answers = drawn(100, informative=True)
    found = answer_shares(answers, portfolio(answers, {"bank": LADDERS["facts"]}))
    assert found["bank"]["small"] + found["bank"]["refused"] == pytest.approx(1)


def test_the_interval_of_a_constant_is_a_point() -> None:
    assert interval(lambda rows: 2.0, 10) == Interval(2.0, 2.0, 2.0)


def test_intervals_are_the_same_every_time() -> None:
    values = np.arange(50.0)
    statistic = lambda rows: float(values[rows].mean())  # noqa: E731
    assert interval(statistic, 50) == interval(statistic, 50)


def test_the_threshold_is_the_cheapest_that_keeps_quality() -> None:
    chosen = choose(drawn(200, informative=True), "bank", LADDERS["bank"])
    assert chosen.quality == 1
    assert chosen.at_least == 0.02


def test_a_threshold_without_validation_items_is_refused() -> None:
    with pytest.raises(ValueError, match="intent date"):
        choose(drawn(5, informative=True), "date", LADDERS["bank"])


def test_doubt_compares_both_models_where_the_small_one_is_least_sure() -> None:
    found = doubt(drawn(200, informative=True), "bank", "small", "large")
    assert (found.items, found.small_right, found.large_right) == (50, 0.0, 1.0)
    assert found.second_rung_pays

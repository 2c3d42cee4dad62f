"""The quickstart's table: every strategy on the same held-out items, intervals from one paired bootstrap."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.bootstrap import Interval, Rows, interval
from analysis.matrix import Floats, Matrix
from analysis.strategies import (
    Ladder,
    Outcome,
    alone,
    best_per_intent,
    blind,
    by_table,
    equal_cost_shares,
    oracle,
    portfolio,
)

Intervals = Mapping[str, Interval]


@dataclass(frozen=True)
class Row:
    """One strategy's figures; `behind`: the portfolio's quality less its own, None for the portfolio."""

    name: str
    quality: Interval
    behind: Interval | None
    cpu_ms_per_query: float
    usd_per_1000: float
    latency_p50_ms: float
    latency_p95_ms: float


@dataclass(frozen=True)
class Report:
    rows: tuple[Row, ...]
    answered_by: Mapping[str, Mapping[str, float]]
    """For each task, the share of its items that each model answered (and `refused`)."""
    gain: Interval
    """Quality over the exact random mixture of equal cost."""


def report(test: Matrix, validation: Matrix, ladders: Mapping[str, Ladder], largest: str) -> Report:
    found = portfolio(test, ladders)
    strategies = [(f"{model} alone", alone(test, model)) for model in test.models]
    strategies += [
        ("blind, same call shares", blind(test, call_shares(found))),
        ("random mixture, equal cost", blind(test, equal_cost_shares(test, float(found.cpu_seconds.mean())))),
        ("intent to best model", by_table(test, best_per_intent(test, validation))),
        (f"always largest ({largest})", alone(test, largest)),
        ("oracle", oracle(test)),
    ]
    rows = [_row("portfolio", found, None)]
    rows += [_row(name, outcome, found) for name, outcome in strategies]
    return Report(tuple(rows), answer_shares(test, found), gain_over_mixture(test, found))


def call_shares(outcome: Outcome) -> Floats:
    calls: Floats = outcome.calls.sum(axis=0)
    return calls / float(calls.sum())


def answer_shares(matrix: Matrix, outcome: Outcome) -> dict[str, dict[str, float]]:
    shares: dict[str, dict[str, float]] = {}
    tasks = np.array([item.task.value for item in matrix.items])
    for task in dict.fromkeys(tasks.tolist()):
        answered = outcome.answered[tasks == task].mean(axis=0)
        named = {
            model: float(share) for model, share in zip(matrix.models, answered, strict=True) if share > 0
        }
        refused = 1 - float(answered.sum())
        shares[task] = named | ({"refused": refused} if refused > 1e-9 else {})
    return shares


def gain_over_mixture(matrix: Matrix, found: Outcome) -> Interval:
    """Return the portfolio's gain; each resample has its own mixture, at that resample's own costs."""

    def gain(rows: Rows) -> float:
        drawn = matrix.only(rows)
        shares = equal_cost_shares(drawn, float(found.cpu_seconds[rows].mean()))
        return float(found.right[rows].mean() - (drawn.right.mean(axis=0) * shares).sum())

    return interval(gain, len(matrix.items))


def per_task(matrix: Matrix, outcome: Outcome) -> dict[str, float]:
    tasks = np.array([item.task.value for item in matrix.items])
    return {task: float(outcome.right[tasks == task].mean()) for task in dict.fromkeys(tasks.tolist())}


def gain_sentence(gain: Interval) -> str:
    figures = f"{gain.value * 100:+.1f} points, 95 % interval {gain.low * 100:+.1f} to {gain.high * 100:+.1f}"
    if gain.holds_zero:
        return f"Against the random mixture of equal cost: {figures}. The interval holds 0: no gain is shown."
    return f"Against the random mixture of equal cost: {figures}."


def _row(name: str, outcome: Outcome, best: Outcome | None) -> Row:
    count = len(outcome.right)
    return Row(
        name=name,
        quality=interval(lambda rows: float(outcome.right[rows].mean()), count),
        behind=None
        if best is None
        else interval(lambda rows: float((best.right - outcome.right)[rows].mean()), count),
        cpu_ms_per_query=float(outcome.cpu_seconds.mean()) * 1000,
        usd_per_1000=float(outcome.usd.mean()) * 1000,
        latency_p50_ms=outcome.latency_p50_seconds * 1000,
        latency_p95_ms=outcome.latency_p95_seconds * 1000,
    )


def points(share: float) -> str:
    return f"{share * 100:.1f}"


def lead(gain: Interval) -> str:
    return f"{gain.value * 100:+.1f} ({gain.low * 100:+.1f} to {gain.high * 100:+.1f})"

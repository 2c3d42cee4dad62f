"""Ways of answering, replayed on a matrix: each gives every item its expected quality, cost and calls.

Random strategies are computed exactly, as expectations; nothing is drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from analysis.matrix import Floats, Matrix

REFUSED = -1


@dataclass(frozen=True)
class Rung:
    """A model of a ladder; `at_least` is None where any answer is good enough."""

    model: str
    at_least: float | None = None


@dataclass(frozen=True)
class Ladder:
    rungs: tuple[Rung, ...]
    refuses: bool = False
    """What happens when the last rung is not sure enough: refuse, or return the best draft."""


@dataclass(frozen=True)
class Outcome:
    """One strategy on every item.

    `calls[i, m]`: the chance that model m is asked; `answered`: that its answer is given.
    """

    right: Floats
    cpu_seconds: Floats
    usd: Floats
    latency_p50_seconds: float
    latency_p95_seconds: float
    calls: Floats
    answered: Floats

    @property
    def quality(self) -> float:
        return float(self.right.mean())


def alone(matrix: Matrix, model: str) -> Outcome:
    shares = np.zeros(len(matrix.models))
    shares[matrix.column(model)] = 1
    return blind(matrix, shares)


def blind(matrix: Matrix, shares: Floats) -> Outcome:
    """Ask one model a query, drawn with these chances whatever the query is."""
    return assigned(matrix, np.tile(shares, (len(matrix.items), 1)))


def assigned(matrix: Matrix, chances: Floats) -> Outcome:
    """Ask one model a query, by a row of chances for each item."""
    return Outcome(
        right=(matrix.right * chances).sum(axis=1),
        cpu_seconds=(matrix.cpu_seconds * chances).sum(axis=1),
        usd=(matrix.usd * chances).sum(axis=1),
        latency_p50_seconds=_quantile(matrix.latency_seconds, chances, 0.5),
        latency_p95_seconds=_quantile(matrix.latency_seconds, chances, 0.95),
        calls=chances,
        answered=chances,
    )


def portfolio(matrix: Matrix, ladders: Mapping[str, Ladder]) -> Outcome:
    """Climb each item's ladder, by the intent that the router gave it; every rejected draft is paid for."""
    calls = np.zeros_like(matrix.right)
    answered = np.zeros_like(matrix.right)
    right = np.zeros(len(matrix.items))
    for row, intent in enumerate(matrix.intents):
        asked, given = climb(matrix, row, ladders[intent])
        calls[row, asked] = 1
        if given == REFUSED:
            right[row] = matrix.refusal_right[row]
        else:
            answered[row, given] = 1
            right[row] = matrix.right[row, given]
    latency = (matrix.latency_seconds * calls).sum(axis=1)
    return Outcome(
        right=right,
        cpu_seconds=(matrix.cpu_seconds * calls).sum(axis=1),
        usd=(matrix.usd * calls).sum(axis=1),
        latency_p50_seconds=_quantile(latency, np.ones(len(latency)), 0.5),
        latency_p95_seconds=_quantile(latency, np.ones(len(latency)), 0.95),
        calls=calls,
        answered=answered,
    )


def climb(matrix: Matrix, row: int, ladder: Ladder) -> tuple[list[int], int]:
    """Return the columns asked, and the column that answered or REFUSED."""
    asked: list[int] = []
    for rung in ladder.rungs:
        column = matrix.column(rung.model)
        asked.append(column)
        if rung.at_least is None or matrix.confidence[row, column] >= rung.at_least:
            return asked, column
    if ladder.refuses:
        return asked, REFUSED
    return asked, max(asked, key=lambda column: matrix.confidence[row, column])


def best_per_intent(matrix: Matrix, validation: Matrix) -> dict[str, str]:
    """Return each intent's model of best quality on the validation split; of two equals the cheaper."""
    table = {}
    for intent in dict.fromkeys((*validation.intents, *matrix.intents)):
        rows = [row for row, found in enumerate(validation.intents) if found == intent]
        seen = validation.only(rows) if rows else validation
        order = np.lexsort((seen.cpu_seconds.mean(axis=0), -seen.right.mean(axis=0)))
        table[intent] = matrix.models[order[0]]
    return table


def by_table(matrix: Matrix, table: Mapping[str, str]) -> Outcome:
    chances = np.zeros_like(matrix.right)
    for row, intent in enumerate(matrix.intents):
        chances[row, matrix.column(table[intent])] = 1
    return assigned(matrix, chances)


def oracle(matrix: Matrix) -> Outcome:
    """Ask the cheapest model that is right, or the cheapest of all; where refusing is right, it does."""
    cost = np.where(matrix.right > 0, matrix.cpu_seconds, matrix.cpu_seconds + 1e9)
    chances = np.zeros_like(matrix.right)
    chances[np.arange(len(matrix.items)), cost.argmin(axis=1)] = 1
    found = assigned(matrix, chances)
    return replace(found, right=np.maximum(found.right, matrix.refusal_right))


def equal_cost_shares(matrix: Matrix, cpu_seconds: float) -> Floats:
    """Return the chances of the best blind mixture of at most this cost a query: exact, at most two models.

    Quality is linear in the chances, so the best mixture is on the upper hull of (cost, quality).
    """
    costs, qualities = matrix.cpu_seconds.mean(axis=0), matrix.right.mean(axis=0)
    best: Floats = np.eye(len(costs))[int(costs.argmin())]
    best_quality = -1.0
    for low in range(len(costs)):
        if costs[low] > cpu_seconds:
            continue
        for high in range(len(costs)):
            share = _share_of_high(costs[low], costs[high], cpu_seconds)
            quality = share * qualities[high] + (1 - share) * qualities[low]
            if quality > best_quality:
                best = np.zeros(len(costs))
                best[low] += 1 - share
                best[high] += share
                best_quality = float(quality)
    return best


def _share_of_high(low: float, high: float, budget: float) -> float:
    return 1.0 if high <= budget else (budget - low) / (high - low)


def _quantile(values: Floats, chances: Floats, share: float) -> float:
    """Return the smallest value under which lies that share of the chance."""
    flat, weights = values.ravel(), chances.ravel()
    order = np.argsort(flat)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(flat[order][int(np.searchsorted(reached, share - 1e-12))])

"""Which thresholds and ladders the validation split supports. The test split is never looked at here."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from analysis.matrix import Floats, Matrix
from analysis.strategies import Ladder, Rung, portfolio

TOLERANCE = 0.005
"""Quality given up for a cheaper threshold: half a point of the intent's validation items."""
STEPS = tuple(round(0.02 * step, 2) for step in range(51))


@dataclass(frozen=True)
class Choice:
    at_least: float
    quality: float
    cpu_seconds: float


def choose(validation: Matrix, intent: str, ladder: Ladder) -> Choice:
    """Return the first rung's cheapest threshold whose quality is within the tolerance of the best.

    At equal cost the lower one: it refuses and escalates less.
    """
    rows = [row for row, found in enumerate(validation.intents) if found == intent]
    if not rows:
        raise ValueError(
            f"no validation item was routed to intent {intent}: nothing to choose its threshold on"
        )
    seen = validation.only(rows)
    tried = [_tried(seen, intent, ladder, at_least) for at_least in STEPS]
    best = max(choice.quality for choice in tried)
    good = [choice for choice in tried if choice.quality >= best - TOLERANCE]
    return min(good, key=lambda choice: (choice.cpu_seconds, choice.at_least))


def with_threshold(ladder: Ladder, at_least: float) -> Ladder:
    first, *others = ladder.rungs
    return replace(ladder, rungs=(Rung(first.model, at_least), *others))


def _tried(seen: Matrix, intent: str, ladder: Ladder, at_least: float) -> Choice:
    outcome = portfolio(seen, {intent: with_threshold(ladder, at_least)})
    return Choice(at_least, outcome.quality, float(outcome.cpu_seconds.mean()))


@dataclass(frozen=True)
class Doubt:
    """Both models on the items that the smaller one is least sure of: those that a second rung would see."""

    share: float
    items: int
    small_right: float
    large_right: float

    @property
    def second_rung_pays(self) -> bool:
        return self.large_right > self.small_right


def doubt(validation: Matrix, intent: str, small: str, large: str, share: float = 0.25) -> Doubt:
    rows = [row for row, found in enumerate(validation.intents) if found == intent]
    seen = validation.only(rows)
    confidence: Floats = seen.confidence[:, seen.column(small)]
    least_sure = seen.only(np.argsort(confidence, kind="stable")[: max(1, round(len(rows) * share))])
    means: Mapping[str, float] = dict(zip(seen.models, least_sure.right.mean(axis=0).tolist(), strict=True))
    return Doubt(share, len(least_sure.items), means[small], means[large])

"""Intervals by resampling items: paired, because every strategy answered the same ones."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
RESAMPLES = 2000
SEED = 11


@dataclass(frozen=True)
class Interval:
    """A figure with the middle 95 % of its resamples."""

    value: float
    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        return self.low <= 0 <= self.high


def interval(
    statistic: Callable[[Rows], float], count: int, resamples: int = RESAMPLES, seed: int = SEED
) -> Interval:
    rng = np.random.default_rng(seed)
    drawn = [statistic(rng.integers(0, count, count)) for _ in range(resamples)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(statistic(np.arange(count)), float(low), float(high))

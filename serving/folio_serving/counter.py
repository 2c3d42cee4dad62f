"""Where a portfolio's budgets are counted, as a gateway replica sees it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from folio_serving.budget import Book, Grant, Report


class Counter(Protocol):
    """Counts for all replicas; raises when it cannot be reached."""

    async def exchange(self, replica: str, reports: tuple[Report, ...]) -> tuple[Grant, ...]:
        """Tell what was spent and hear what may be."""


class OwnCounter:
    """Counts in this process: a gateway of one replica, without Ray."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.book = Book()
        self._clock = clock

    async def exchange(self, replica: str, reports: tuple[Report, ...]) -> tuple[Grant, ...]:
        return self.book.exchange(replica, reports, self._clock())

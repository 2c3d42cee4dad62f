"""Busy seconds of a replica, shared fairly among the requests in flight."""

from __future__ import annotations

import time
from collections.abc import Callable


class BusyClock:
    """Divides the time in which a replica has work equally among the requests that it has at each instant.

    A clock of work runs at 1/n while n requests are in flight; a request's share is what it ran meanwhile.
    So all shares sum up to the replica's busy time, and a request alone is charged its wall time.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._in_flight = 0
        self._work = 0.0
        self._last = now()

    def enter(self) -> float:
        """Begin a request; return the mark that `leave` takes."""
        self._advance()
        self._in_flight += 1
        return self._work

    def so_far(self, mark: float) -> float:
        """Return a running request's share until now, in seconds."""
        self._advance()
        return self._work - mark

    def leave(self, mark: float) -> float:
        """End a request; return its share in seconds."""
        self._advance()
        self._in_flight -= 1
        return self._work - mark

    def _advance(self) -> None:
        now = self._now()
        if self._in_flight:
            self._work += (now - self._last) / self._in_flight
        self._last = now

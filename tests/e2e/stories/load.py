"""Requests at a steady rate while a story goes on, counted where they are made.

A connection through the API server to a pod breaks now and then, and nothing of a load may be lost with it: the load is
a process of the pod, which short commands begin, look after and end, each of them as often as it takes.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.e2e.stories.release import CommandError

POLL_SECONDS = 0.3


@dataclass(frozen=True)
class Request:
    """One request of a load; times are those of the cluster's clock."""

    at: float
    seconds: float
    revision: str
    model: str
    intent: str
    lost: str | None

    @property
    def until(self) -> float:
        return self.at + self.seconds


@dataclass
class Load:
    """Requests at a steady rate; known once the load is over."""

    requests: tuple[Request, ...] = ()

    @property
    def lost(self) -> list[Request]:
        return [each for each in self.requests if each.lost]

    @property
    def models(self) -> Counter[str]:
        return Counter(each.model for each in self.requests if not each.lost)

    @property
    def revisions(self) -> list[str]:
        """In the order in which they first answered."""
        ordered = sorted((each for each in self.requests if each.revision), key=lambda each: each.until)
        return list(dict.fromkeys(each.revision for each in ordered))

    def quantile_ms(self, share: float) -> float:
        seconds = sorted(each.seconds for each in self.requests if not each.lost)
        return 1000 * seconds[min(len(seconds) - 1, int(share * len(seconds)))]

    @property
    def silence(self) -> tuple[float, float]:
        """Return begin and end of the longest time in which nothing was answered."""
        answered = sorted(each.until for each in self.requests if not each.lost)
        return max(pairwise(answered), key=lambda pair: pair[1] - pair[0])

    @property
    def silence_seconds(self) -> float:
        began, ended = self.silence
        return ended - began

    def figure(self) -> str:
        median = 1000 * statistics.median(each.seconds for each in self.requests if not each.lost)
        return (
            f"lost {len(self.lost)} of {len(self.requests)} requests"
            f" (p50 {median:.0f} ms, p99 {self.quantile_ms(0.99):.0f} ms)"
        )

    def losses(self) -> str:
        """The first few, for a failure's message."""
        first = self.requests[0].at if self.requests else 0
        return "\n".join(f"+{each.at - first:.2f} s: {each.lost}" for each in self.lost[:10])


@contextmanager
def sustained(tell: Callable[[str], str], patience_seconds: float) -> Iterator[Load]:
    """A load from its first answer until the block ends; `tell` runs pod/load.py's start or stop, and may fail."""
    load = Load()
    _told(tell, "start", lambda state: state["records"] or state["over"] is not None, patience_seconds)
    try:
        yield load
    finally:
        state = _told(tell, "stop", lambda state: state["over"] is not None, patience_seconds)
        load.requests = tuple(Request(*each) for each in state["records"])
    assert not state["over"], f"the load broke:\n{state['over']}"


def _told(
    tell: Callable[[str], str], what: str, is_enough: Callable[[dict[str, Any]], bool], seconds: float
) -> dict[str, Any]:
    """Return what the load says of itself, once that is enough."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            state = dict(json.loads(tell(what)))
            trouble = f"{len(state['records'])} requests are known"
            if is_enough(state):
                return state
        except (CommandError, subprocess.TimeoutExpired, ValueError) as error:
            trouble = str(error)
        assert time.monotonic() < deadline, f"the load did not {what} within {seconds:.0f} s: {trouble}"
        time.sleep(POLL_SECONDS)


__all__ = ["Load", "Request", "sustained"]

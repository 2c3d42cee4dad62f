"""The work queue: events in, passes out. A key waits once however often it is put; its passes never overlap.

A pass is level-triggered, so that the queue carries no payload: a pass reads what it needs when it runs.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Hashable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
logger = logging.getLogger(__name__)

Pass = Callable[[K], Awaitable[float | None]]
"""One pass over a key; returns the seconds after which it wants to run again, or None."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How eager the queue is. All figures are seconds, but the number of workers."""

    workers: int = 16
    settle_seconds: float = 0.2
    """A key is quiet for this long before its pass, so that a burst is one pass."""
    settle_most_seconds: float = 1.0
    """A stream of events cannot put a pass off for longer."""
    backoff_first_seconds: float = 1.0
    backoff_most_seconds: float = 60.0
    patience_seconds: float = 5.0
    """Patient keys let others go first that came so much later."""
    jitter: float = 0.2
    """Share by which every repetition is spread, so that keys that began together do not stay together."""


@dataclass(slots=True)
class _Waiting:
    """What the queue knows of one key between its events and its pass."""

    first_put: float | None = None
    timer: asyncio.TimerHandle | None = None
    queued: bool = False
    running: bool = False
    put_while_running: bool = False
    failures: int = 0


@dataclass
class WorkQueue(Generic[K]):
    """Runs `run_pass` for every key that was put, soon after its events settle.

    A pass that raises is repeated with exponential backoff; a new event does not wait for the backoff to end.
    A key that wants nothing more is forgotten.
    """

    run_pass: Pass[K]
    pace: Pace = field(default_factory=Pace)
    rng: random.Random = field(default_factory=random.Random)
    is_patient: Callable[[K], bool] = lambda _: False
    """Whether the key's pass may wait while many others are due."""
    _keys: dict[K, _Waiting] = field(default_factory=dict, init=False)
    _due: asyncio.PriorityQueue[tuple[float, int, K | None]] = field(
        default_factory=asyncio.PriorityQueue, init=False
    )
    """By the time until which it may wait; those of one time in the order in which they came."""
    _number: Iterator[int] = field(default_factory=count, init=False)

    def put(self, key: K) -> None:
        """Note that something about the key may have changed."""
        waiting = self._keys.setdefault(key, _Waiting())
        if waiting.queued:  # its pass has yet to look
            return
        if waiting.running:
            waiting.put_while_running = True
            return
        now = asyncio.get_running_loop().time()
        if waiting.first_put is None:
            waiting.first_put = now
        latest = waiting.first_put + self.pace.settle_most_seconds
        self._schedule(key, waiting, min(now + self.pace.settle_seconds, latest))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; passes that run then are finished, keys that wait are dropped."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.pace.workers):
                group.create_task(self._work(), name=f"pass-{number}")
            await stop.wait()
            self._drop_waiting()
            for _ in range(self.pace.workers):  # before whatever events still bring
                self._due.put_nowait((-math.inf, next(self._number), None))

    @property
    def depth(self) -> int:
        """Keys that wait for a pass: settling after an event, or for a free worker."""
        settling = sum(1 for waiting in self._keys.values() if waiting.first_put is not None)
        return settling + self._due.qsize()

    async def _work(self) -> None:
        while (key := (await self._due.get())[-1]) is not None:
            waiting = self._keys[key]
            waiting.queued, waiting.running = False, True
            after = await self._pass(key, waiting)
            waiting.running = False
            self._plan_next(key, waiting, after)

    async def _pass(self, key: K, waiting: _Waiting) -> float | None:
        """Run one pass; return when the next is due even without an event."""
        try:
            after = await self.run_pass(key)
        except Exception:
            waiting.failures += 1
            delay = self._backoff_seconds(waiting.failures)
            logger.exception("pass over %s failed, again in %.1f s", key, delay)
            return delay
        waiting.failures = 0
        return after

    def _plan_next(self, key: K, waiting: _Waiting, after: float | None) -> None:
        if waiting.put_while_running:
            waiting.put_while_running = False
            self.put(key)
        elif after is not None:
            self._schedule(key, waiting, asyncio.get_running_loop().time() + self._spread(after))
        else:
            del self._keys[key]

    def _schedule(self, key: K, waiting: _Waiting, due: float) -> None:
        if waiting.timer is not None:
            waiting.timer.cancel()
        waiting.timer = asyncio.get_running_loop().call_at(due, self._hand_out, key, waiting)

    def _hand_out(self, key: K, waiting: _Waiting) -> None:
        waiting.timer, waiting.first_put, waiting.queued = None, None, True
        patience = self.pace.patience_seconds if self.is_patient(key) else 0.0
        now = asyncio.get_running_loop().time()
        self._due.put_nowait((now + patience, next(self._number), key))

    def _backoff_seconds(self, failures: int) -> float:
        doubled: float = self.pace.backoff_first_seconds * 2.0 ** min(failures - 1, 16)
        return min(doubled, self.pace.backoff_most_seconds)

    def _spread(self, seconds: float) -> float:
        return seconds * (1 + self.pace.jitter * (2 * self.rng.random() - 1))

    def _drop_waiting(self) -> None:
        for waiting in self._keys.values():
            if waiting.timer is not None:
                waiting.timer.cancel()
        while not self._due.empty():
            self._due.get_nowait()

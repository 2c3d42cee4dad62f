"""What vLLM itself says of its work: its own metrics, read in the replica with the internal token.

To read them takes one of the requests that Serve lets the replica have at once: it waits where all are taken.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx


@dataclass(frozen=True)
class Load:
    """An engine's figures at one moment."""

    running: int
    waiting: int
    tokens: int
    """Generated since the start: what shows that nobody works on."""
    finished: int
    """Requests whose last token came, since the start."""


def _sum(metrics: str, name: str, label: str = "") -> int:
    values = re.findall(rf"^vllm:{name}{{[^}}]*{label}[^}}]*}} ([\d.e+]+)$", metrics, re.MULTILINE)
    return int(sum(map(float, values)))


@dataclass(frozen=True)
class Engine:
    """One replica, by a client that knows its address and token."""

    client: httpx.AsyncClient

    async def load(self) -> Load:
        metrics = (await self.client.get("/metrics")).text
        return Load(
            running=_sum(metrics, "num_requests_running"),
            waiting=_sum(metrics, "num_requests_waiting"),
            tokens=_sum(metrics, "generation_tokens_total"),
            finished=_sum(metrics, "request_success_total", 'finished_reason="length"'),
        )

    async def until(self, reached: Callable[[Load], bool], seconds: float) -> Load:
        deadline = time.monotonic() + seconds
        while not reached(load := await self.load()):
            assert time.monotonic() < deadline, f"not within {seconds} s: {load}"
            await asyncio.sleep(0.02)
        return load


def idle(load: Load) -> bool:
    return load.running + load.waiting == 0

"""Asks one server: one request after another for latencies, then several at a time for throughput and CPU."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from folio_serving.http1 import Connection, connect

TEXTS = ("what is the balance of my account", "my card was not accepted", "how long does a transfer take")


@dataclass(frozen=True)
class Target:
    """A server to measure: where it listens, and the processes that are its own."""

    name: str
    port: int
    processes: tuple[psutil.Process, ...]
    model: str = "folio"
    headers: str = ""


@dataclass(frozen=True)
class Figures:
    """What one kind of request cost."""

    p50_ms: float
    p99_ms: float
    per_second: float
    cpu_ms: float
    """CPU of the target's own processes, per request."""


def request(target: Target, text: str, *, stream: bool) -> bytes:
    body = {"model": target.model, "messages": [{"role": "user", "content": text}], "max_tokens": 64}
    content = json.dumps(body | ({"stream": True} if stream else {})).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"{target.headers}content-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def ask(connection: Connection, content: bytes) -> None:
    await connection.ask(content, whole=True)
    answer = await connection.whole()
    if connection.status != 200 or (b"word" not in answer):
        raise RuntimeError(f"status {connection.status}: {answer[:300]!r}")


async def measure(
    target: Target, *, stream: bool, sequential: int, seconds: float, at_once: int = 16
) -> Figures:
    requests = [request(target, text, stream=stream) for text in TEXTS]
    (alone,) = await warmed(target, requests, 1)
    took = await latencies(alone, requests, sequential)
    alone.close()
    # Opened only now: a server closes connections that were idle for a few seconds.
    connections = await warmed(target, requests, at_once)
    before, start = cpu_seconds(target.processes), time.perf_counter()
    counts = await asyncio.gather(*(hammer(one, requests, start + seconds) for one in connections))
    elapsed = time.perf_counter() - start
    used = cpu_seconds(target.processes) - before
    for connection in connections:
        connection.close()
    took.sort()
    return Figures(
        p50_ms=took[len(took) // 2] * 1000,
        p99_ms=took[int(len(took) * 0.99)] * 1000,
        per_second=sum(counts) / elapsed,
        cpu_ms=used / sum(counts) * 1000,
    )


async def warmed(target: Target, requests: Sequence[bytes], count: int) -> list[Connection]:
    connections = [await connect("127.0.0.1", target.port) for _ in range(count)]
    for connection in connections:
        for content in requests:
            await ask(connection, content)
    return connections


async def latencies(connection: Connection, requests: Sequence[bytes], count: int) -> list[float]:
    took = []
    for index in range(count):
        start = time.perf_counter()
        await ask(connection, requests[index % len(requests)])
        took.append(time.perf_counter() - start)
    return took


async def hammer(connection: Connection, requests: Sequence[bytes], until: float) -> int:
    count = 0
    while time.perf_counter() < until:
        await ask(connection, requests[count % len(requests)])
        count += 1
    return count


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        times = process.cpu_times()
        total += times.user + times.system
    return total

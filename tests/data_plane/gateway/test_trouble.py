"""Clients that leave, models that sleep, and processes that die."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time

import httpx
from tests.data_plane.gateway.conftest import Served, played

HELD = {"seconds": 60.0}
STREAMS = {"text": "a" * 600, "chunks": 600, "chunk_seconds": 0.1}


async def leave(served: Served, **fields: object) -> None:
    """Ask on a connection of our own, wait until the model works for us, and close it."""
    body = json.dumps({"model": "fast", "messages": [{"role": "user", "content": "hi"}], **fields}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    _, writer = await asyncio.open_connection("127.0.0.1", served.cluster.serve_port)
    writer.write(head.encode() + b"\r\n\r\n" + body)
    await until(served, running=1)
    writer.close()
    left = time.monotonic()
    await until(served, running=0)
    assert time.monotonic() - left < 1.0


async def until(served: Served, *, running: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    (url,) = await asyncio.to_thread(served.cluster.replica_urls, "model-fast")
    async with httpx.AsyncClient(headers=served.cluster.token_header, timeout=10) as client:
        while (seen := (await client.get(f"{url}/stats")).json()["running"]) != running:
            assert time.monotonic() < deadline, f"{seen} running, not {running}"
            await asyncio.sleep(0.05)


async def play(served: Served, plays: dict[str, object]) -> None:
    """Have the model `fast` behave like this from now on."""
    others = [one for one in served.applications if one["name"] != "model-fast"]
    served.applications = [played("fast", plays), *others]
    await asyncio.to_thread(served.deploy, served.table())
    await asyncio.sleep(2)


async def test_a_client_that_leaves_a_working_rung_ends_its_work(served: Served) -> None:
    await play(served, HELD)
    await leave(served)
    await leave(served, stream=True)


async def test_a_client_that_leaves_a_stream_ends_its_work(served: Served) -> None:
    await play(served, STREAMS)
    await leave(served, stream=True)


async def test_a_sleeping_model_is_woken_while_the_next_rung_answers(served: Served) -> None:
    await play(served, {})
    first = await asyncio.to_thread(served.ask, "folio", "wake up")
    assert first.headers["x-folio-attempts"] == "idle:Waking,fast"
    idle = next(each for each in served.state()["models"] if each["name"] == "idle")
    assert (idle["state"], idle["reason"], idle["served_by"]) == ("Pending", "Waking", "fast")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = await asyncio.to_thread(served.ask, "folio", "wake up")
        assert answer.status_code == 200
        if answer.headers["x-folio-model"] == "idle":
            return
        await asyncio.sleep(0.5)
    raise AssertionError("the model did not wake up")


async def test_a_killed_model_process_costs_no_portfolio_request(served: Served) -> None:
    await play(served, {"seconds": 0.2})
    statuses: list[int] = []
    stop = asyncio.Event()
    (pid,) = served.cluster.replica_pids("model-fast")
    async with served.async_client() as client:
        askers = [asyncio.create_task(ask_on(client, statuses, stop)) for _ in range(8)]
        await asyncio.sleep(1)
        os.kill(pid, signal.SIGKILL)
        named = await until_named_fails(client)
        await asyncio.to_thread(wait_for_another, served, pid)
        await asyncio.sleep(1)
        stop.set()
        await asyncio.gather(*askers)
    assert set(statuses) == {200}
    assert named.json()["error"]["code"] in ("Unavailable", "UpstreamError")
    assert (await asyncio.to_thread(served.ask, "folio")).headers["x-folio-model"] == "fast"


async def ask_on(client: httpx.AsyncClient, statuses: list[int], stop: asyncio.Event) -> None:
    body = {"model": "folio", "messages": [{"role": "user", "content": "hi"}]}
    while not stop.is_set():
        statuses.append((await client.post("/v1/chat/completions", json=body)).status_code)


async def until_named_fails(client: httpx.AsyncClient) -> httpx.Response:
    body = {"model": "fast", "messages": [{"role": "user", "content": "hi"}]}
    for _ in range(50):
        answer = await client.post("/v1/chat/completions", json=body)
        if answer.status_code == 503:
            return answer
    raise AssertionError("the named model never said 503")


def wait_for_another(served: Served, pid: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        pids = served.cluster.replica_pids("model-fast")
        if pids and pid not in pids:
            return
        time.sleep(0.3)
    raise AssertionError("the model did not come back by itself")

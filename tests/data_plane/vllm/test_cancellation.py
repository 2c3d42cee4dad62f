"""A client that leaves costs nothing more: vLLM itself says, within a second, that it runs and holds nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.data_plane.engine import Engine, idle
from tests.data_plane.vllm.conftest import ENGINE_ARGS, Model, question

LONG = {"max_tokens": 2000, "min_tokens": 2000, "ignore_eos": True}
RUNNING_AT_ONCE = int(ENGINE_ARGS["max_num_seqs"])


class AskedEngine(Engine):
    """The engine, asked at its own port."""

    def start(self, **body: Any) -> asyncio.Task[None]:
        return asyncio.create_task(self._ask(question(**LONG, **body)))

    async def _ask(self, body: dict[str, Any]) -> None:
        headers = {"x-folio-signals": "logprobs;at=32"}
        async with self.client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
            async for _ in answer.aiter_bytes():
                pass


@pytest.fixture
async def engine(model: Model) -> AsyncIterator[AskedEngine]:
    limits = httpx.Limits(max_connections=20)
    async with httpx.AsyncClient(
        base_url=model.url, headers=model.cluster.token_header, timeout=60, limits=limits
    ) as client:
        yield AskedEngine(client)


async def leave(*tasks: asyncio.Task[None]) -> None:
    """Close the connections of running requests, as a client does that was stopped."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError, httpx.HTTPError):
            await task


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streaming"])
async def test_a_running_request_ends_with_its_client(engine: AskedEngine, stream: bool) -> None:
    before = await engine.load()
    request = engine.start(stream=stream)
    await engine.until(lambda load: load.running == 1, 10)
    await leave(request)
    after = await engine.until(idle, 1)
    await asyncio.sleep(0.5)
    later = await engine.load()
    assert (later.tokens, later.finished) == (after.tokens, before.finished)


async def test_a_request_that_still_waits_in_the_engine_leaves_the_queue(engine: AskedEngine) -> None:
    running = [engine.start(stream=True) for _ in range(RUNNING_AT_ONCE)]
    await engine.until(lambda load: load.running == RUNNING_AT_ONCE, 10)
    queued = [engine.start(stream=stream) for stream in (True, False)]
    await engine.until(lambda load: load.waiting == 2, 10)
    await leave(*queued)
    left = await engine.until(lambda load: load.waiting == 0, 1)
    assert left.running == RUNNING_AT_ONCE
    await leave(*running)
    await engine.until(idle, 1)

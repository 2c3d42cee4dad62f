"""A client that leaves takes its work along: within a second nothing runs for it any more, whatever the state."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from tests.integration.gateway.conftest import SMALL_LARGE, Portfolio
from tests.integration.gateway.models import Plays, serving


async def leave(portfolio: Portfolio, after_seconds: float = 0.3, **fields: object) -> None:
    """Ask over a real connection, and close it."""
    body = json.dumps({"model": "folio", "messages": [{"role": "user", "content": "hi"}], **fields}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    async with serving(portfolio.process.app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + body)
        await asyncio.sleep(after_seconds)
        assert portfolio.models.running == 1
        writer.close()
        await asyncio.sleep(0.5)
        assert portfolio.models.running == 0
        assert portfolio.models.cancelled == 1
        del reader


@pytest.mark.parametrize("stream", [False, True])
async def test_while_a_rung_is_working(portfolio: Portfolio, stream: bool) -> None:
    portfolio.models.plays["small"] = Plays(seconds=30)
    await leave(portfolio, stream=stream)


async def test_while_a_rung_is_streaming(portfolio: Portfolio) -> None:
    portfolio.models.plays["small"] = Plays("a" * 100, chunks=100, chunk_seconds=0.1)
    await leave(portfolio, stream=True)


async def test_while_it_waits_for_its_turn(portfolio: Portfolio) -> None:
    models = tuple(model.model_copy(update={"max_ongoing_requests": 1}) for model in SMALL_LARGE.models)
    await portfolio.apply(SMALL_LARGE.model_copy(update={"models": models}).with_revision())
    portfolio.models.plays["small"] = Plays(seconds=1.5)
    first = asyncio.create_task(portfolio.chat("first"))
    await asyncio.sleep(0.2)
    second = asyncio.create_task(portfolio.chat("second"))
    await asyncio.sleep(0.2)
    pool = portfolio.process.keeper.active.backends["small"].pool
    assert (pool.in_flight, pool.queued) == (1, 1)
    second.cancel()
    await asyncio.sleep(0.1)
    assert (pool.in_flight, pool.queued) == (1, 0)
    assert (await first).status_code == 200
    assert len(portfolio.models.asked) == 1


async def test_connections_are_used_again_and_none_is_lost(portfolio: Portfolio) -> None:
    for _ in range(50):
        await portfolio.chat()
    assert len(portfolio.models.connections) <= 3
    answers = await asyncio.gather(*(portfolio.chat() for _ in range(30)))
    assert all(answer.status_code == 200 for answer in answers)
    assert len(portfolio.models.connections) <= 33


async def test_metrics_count_those_who_left(portfolio: Portfolio) -> None:
    portfolio.models.plays["small"] = Plays(seconds=30)
    await leave(portfolio)
    metrics: httpx.Response = await portfolio.client.get("/metrics")
    assert "folio_clients_left_total 1.0" in metrics.text

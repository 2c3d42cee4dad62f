"""A client that leaves takes its work along: within a second nothing runs for it any more, whatever the state."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from tests.integration.gateway.conftest import SMALL_LARGE, Portfolio, own_model, rung, table_of
from tests.integration.gateway.models import Plays, serving

from folio_api.table import Accept, Classifier, Intent

DRAFT_USD = (7 * 10 + 5 * 20) / 1_000_000
"""An answer of a played model."""


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


async def booked(portfolio: Portfolio) -> tuple[dict[str, Any], str]:
    """Return the only line of the log, and the metrics."""
    portfolio.process.app._answering.close()
    metrics = await portfolio.client.get("/metrics")
    return json.loads(portfolio.log.getvalue()), metrics.text


async def test_drafts_and_the_call_that_was_cut_off_are_paid(portfolio: Portfolio) -> None:
    portfolio.models.plays |= {"small": Plays(mean=0.1), "large": Plays(seconds=30)}
    await leave(portfolio)
    record, metrics = await booked(portfolio)
    assert (record["status"], record["reason"], record["model"]) == (499, "ClientLeft", "large")
    draft, cut_off = record["attempts"]
    assert (draft["reason"], draft["cost_usd"], draft["device_seconds"]) == ("NotConfident", DRAFT_USD, 1.0)
    assert (cut_off["reason"], cut_off["completion_tokens"]) == ("ClientLeft", None)
    assert cut_off["prompt_tokens"] > 0
    assert 0.4 < cut_off["device_seconds"] < 2.0
    assert record["cost_usd"] == pytest.approx(draft["cost_usd"] + cut_off["cost_usd"])
    assert 'folio_route_total{reason="ClientLeft",rung="large"} 1.0' in metrics
    assert 'folio_requests_total{path="/v1/chat/completions",status="499"} 1.0' in metrics
    assert f'folio_cost_usd_total{{role="rung",rung="small"}} {DRAFT_USD}' in metrics
    assert 'rung="large",role="rung",reason="ClientLeft"' not in metrics


async def test_the_tokens_that_it_was_streamed_are_paid(portfolio: Portfolio) -> None:
    portfolio.models.plays["large"] = Plays("a" * 100, chunks=100, chunk_seconds=0.05)
    await leave(portfolio, 0.5, stream=True, model="large")
    record, _ = await booked(portfolio)
    (cut_off,) = record["attempts"]
    assert 3 <= cut_off["completion_tokens"] <= 12
    assert cut_off["cost_usd"] == pytest.approx(
        (cut_off["prompt_tokens"] * 10 + cut_off["completion_tokens"] * 20) / 1_000_000
    )


async def test_an_answer_that_nobody_took_is_paid(portfolio: Portfolio) -> None:
    body = json.dumps({"model": "folio", "messages": [{"role": "user", "content": "hi"}]}).encode()
    messages = [{"type": "http.request", "body": body}]
    began = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await began.wait()
        return {"type": "http.disconnect"}

    async def send(_: dict[str, Any]) -> None:
        began.set()
        await asyncio.sleep(30)

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    with pytest.raises(asyncio.CancelledError):
        await portfolio.process.app(scope, receive, send)
    record, _ = await booked(portfolio)
    assert (record["status"], record["reason"], record["model"]) == (499, "ClientLeft", "small")
    assert record["cost_usd"] == DRAFT_USD


async def test_of_answers_asked_for_together_those_that_came_are_paid_as_they_said(
    portfolio: Portfolio,
) -> None:
    agreeing = rung("small", accept=Accept(signal="Agreement", at_least=0.5, models=("large", "slow")))
    names = ("small", "large", "slow")
    await portfolio.apply(table_of(*map(own_model, names), ladder=(agreeing, rung("large"))))
    portfolio.models.plays["slow"] = Plays(seconds=30)
    await leave(portfolio)
    record, metrics = await booked(portfolio)
    told = {one["model"]: one for one in record["attempts"]}
    assert (told["small"]["cost_usd"], told["large"]["cost_usd"]) == (DRAFT_USD, DRAFT_USD)
    assert (told["slow"]["reason"], told["slow"]["role"]) == ("ClientLeft", "peer")
    assert portfolio.models.names() == list(names)
    assert 'folio_cost_usd_total{role="peer",rung="slow"}' in metrics


async def test_a_classifier_that_was_cut_off_is_paid(portfolio: Portfolio) -> None:
    intent = Intent(name="code", examples=("a", "b"), ladder=(rung("large"),), on_exhausted="ReturnBest")
    asks_sorter = Classifier(type="Model", model="sorter")
    models = (own_model("sorter"), own_model("large"))
    table = table_of(*models, ladder=(rung("large"),), intents=(intent,), classifier=asks_sorter)
    await portfolio.apply(table)
    portfolio.models.plays["sorter"] = Plays(seconds=30)
    await leave(portfolio)
    record, _ = await booked(portfolio)
    (cut_off,) = record["attempts"]
    assert (record["status"], record["source"], record["model"]) == (499, "classifier", None)
    assert (cut_off["role"], cut_off["reason"]) == ("classifier", "ClientLeft")
    assert cut_off["cost_usd"] > 0


async def test_metrics_count_those_who_left(portfolio: Portfolio) -> None:
    portfolio.models.plays["small"] = Plays(seconds=30)
    await leave(portfolio)
    metrics: httpx.Response = await portfolio.client.get("/metrics")
    assert "folio_clients_left_total 1.0" in metrics.text

"""A provider that answers 200 and anything but an answer has failed: the next rung stands in."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.integration.gateway.conftest import Portfolio, own_model, rung, table_of

from folio_api.table import Accept, External, Rung

TOOLS = [{"type": "function", "function": {"name": "f"}}]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}


def answer(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "choices": [CHOICE], "usage": USAGE, **fields}).encode()


def event(**fields: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": None}
    return b"data: " + json.dumps({"model": "m", "choices": [choice], **fields}).encode() + b"\n\n"


@contextlib.asynccontextmanager
async def saying(reply: bytes, content_type: str) -> AsyncIterator[int]:
    """Answer everything with these bytes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n"
        with contextlib.suppress(ConnectionError):
            await reader.read(1 << 16)
            writer.write(head.encode() + reply)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def asked(portfolio: Portfolio, port: int, accept: Accept, **fields: Any) -> Any:
    outside = External(base_url=f"http://127.0.0.1:{port}/v1", model="m")
    liar = own_model("liar", engine="external", application=None, external=outside)
    ladder = (Rung(model="liar", accept=accept), rung("large"))
    await portfolio.apply(table_of(liar, own_model("large"), ladder=ladder))
    portfolio.process.health.close()
    return await portfolio.chat(tools=TOOLS, **fields)


@pytest.mark.parametrize(
    "reply",
    [
        b"<html>please log in</html>",
        b"",
        b"null",
        b'{"choices":[',
        b'{"error":{"message":"quota"}}',
        gzip.compress(answer()),
        answer(choices=3),
        answer(choices=[]),
        answer(choices=[1, None]),
        answer(choices=[{"message": "hi"}]),
        b'{"choices":' + b"[" * 2000 + b"]" * 2000 + b"}",
    ],
    ids=lambda reply: reply[:24].decode(errors="replace"),
)
@pytest.mark.parametrize("signal", ["Always", "JsonSchema", "Agreement"])
async def test_what_is_no_answer_is_a_failure_of_the_provider(
    portfolio: Portfolio, reply: bytes, signal: Any
) -> None:
    samples = {"samples": 2, "at_least": 0.5} if signal == "Agreement" else {}
    async with saying(reply, "application/json") as port:
        told = await asked(portfolio, port, Accept(signal=signal, **samples))
    assert told.status_code == 200
    assert told.headers["x-folio-model"] == "large"


@pytest.mark.parametrize(
    "usage",
    ["many", {"prompt_tokens": -5, "completion_tokens": -9}, {"prompt_tokens": "7"}, {"prompt_tokens": []}],
)
async def test_tokens_that_are_no_numbers_are_not_counted(portfolio: Portfolio, usage: Any) -> None:
    async with saying(answer(usage=usage), "application/json") as port:
        told = await asked(portfolio, port, Accept(signal="Always"))
    assert told.headers["x-folio-model"] == "liar"
    assert float(told.headers["x-folio-cost"]) == 0.0


@pytest.mark.parametrize(
    "reply",
    [
        b'data: {"choices":[\n\n',
        event(choices="abc"),
        event(choices=[1]),
        event(choices=[{"index": [1], "delta": {}}]),
        b'data: {"tool_calls" bad\n\n',
        b"<html></html>",
        event().replace(b"\n", b"\r") * 2,
    ],
    ids=lambda reply: reply[:32].decode(errors="replace"),
)
async def test_a_stream_that_cannot_be_read_is_a_failure_of_the_provider(
    portfolio: Portfolio, reply: bytes
) -> None:
    async with saying(reply + b"data: [DONE]\n\n", "text/event-stream") as port:
        told = await asked(portfolio, port, Accept(signal="MeanLogprob", at_least=0.5), stream=True)
    assert told.status_code == 200
    assert '"model":"large"' in told.text


async def test_an_event_without_the_blank_is_read_as_well(portfolio: Portfolio) -> None:
    events = event() + event(choices=[], usage=USAGE) + b"data: [DONE]\n\n"
    async with saying(events.replace(b"data: ", b"data:"), "text/event-stream") as port:
        told = await asked(portfolio, port, Accept(signal="Always"), stream=True)
    assert '"model":"m"' not in told.text.replace(": ", ":")
    assert '"prompt_tokens":3' in told.text

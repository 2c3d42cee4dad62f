"""A provider that answers 200 and anything but an answer has failed: the next rung stands in."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
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


def logged(portfolio: Portfolio) -> dict[str, Any]:
    """What the log says of whom the last query asked first."""
    portfolio.process.answering.close()
    attempt: dict[str, Any] = json.loads(portfolio.log.getvalue().splitlines()[-1])["attempts"][0]
    return attempt


@contextlib.asynccontextmanager
async def saying(
    reply: bytes, content_type: str, status: int = 200, *, stays: bool = False
) -> AsyncIterator[int]:
    """Answer everything with these bytes, and stay or close the connection."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} said\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n"
        with contextlib.suppress(ConnectionError):
            await reader.read(1 << 16)
            writer.write(head.encode() + reply)
            await writer.drain()
            while stays and await reader.read(1 << 16):
                pass
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def asked(
    portfolio: Portfolio, port: int, accept: Accept, outside: dict[str, Any] | None = None, **fields: Any
) -> Any:
    at = {"base_url": f"http://127.0.0.1:{port}/v1", "model": "m"}
    outside_model = External.model_validate(at | (outside or {}))
    liar = own_model("liar", engine="external", application=None, external=outside_model)
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


GUESS = {"prompt_tokens": 26, "completion_tokens": 2, "estimated": True}
"""Of the question with its tools, and of `hello`."""


@pytest.mark.parametrize(
    "usage",
    [
        "many",
        {"prompt_tokens": -5, "completion_tokens": -9},
        {"prompt_tokens": "7"},
        {"prompt_tokens": []},
        {},
        None,
    ],
)
async def test_tokens_that_are_not_told_as_numbers_are_guessed(portfolio: Portfolio, usage: Any) -> None:
    async with saying(answer(usage=usage), "application/json") as port:
        told = await asked(portfolio, port, Accept(signal="Always"))
    assert told.headers["x-folio-model"] == "liar"
    assert float(told.headers["x-folio-cost"]) == pytest.approx((26 * 10 + 2 * 20) / 1e6)
    assert logged(portfolio).items() >= GUESS.items()


async def test_half_of_what_was_used_is_told_and_the_other_half_is_guessed(portfolio: Portfolio) -> None:
    async with saying(answer(usage={"completion_tokens": 9}), "application/json") as port:
        await asked(portfolio, port, Accept(signal="Always"))
    assert logged(portfolio).items() >= (GUESS | {"completion_tokens": 9}).items()


async def test_what_is_told_is_not_called_a_guess(portfolio: Portfolio) -> None:
    async with saying(answer(), "application/json") as port:
        await asked(portfolio, port, Accept(signal="Always"))
    assert "estimated" not in logged(portfolio)


async def test_a_stream_that_tells_no_usage_is_paid_for_by_its_text(portfolio: Portfolio) -> None:
    async with saying(event() * 7 + b"data: [DONE]\n\n", "text/event-stream") as port:
        told = await asked(portfolio, port, Accept(signal="Always"), stream=True)
    assert told.headers["x-folio-model"] == "liar"
    assert logged(portfolio).items() >= GUESS.items(), "7 letters are some 2 tokens"


@pytest.mark.parametrize(
    "failure",
    [
        b'event: error\ndata: {"message":"quota"}\n\n',
        b'data: {"id": 1, "error": {"message": "quota"}}\n\n',
        b": folio mean=1;min=1\n\n",
    ],
)
async def test_a_stream_that_fails_before_it_says_anything_hands_on(
    portfolio: Portfolio, failure: bytes
) -> None:
    async with saying(failure, "text/event-stream") as port:
        told = await asked(portfolio, port, Accept(signal="MeanLogprob", at_least=0.5), stream=True)
    assert told.headers["x-folio-model"] == "large"


@pytest.mark.parametrize(
    ("last", "model"),
    [(b"data: [DONE]\n\n", "liar"), (b'data: {"error":{"message":"quota"}}\n\n', "large")],
)
async def test_a_stream_ends_with_its_last_event_though_the_connection_stays(
    portfolio: Portfolio, last: bytes, model: str
) -> None:
    events = event() if model == "liar" else b""
    async with saying(events + last, "text/event-stream", stays=True) as port, asyncio.timeout(5):
        told = await asked(portfolio, port, Accept(signal="Always"), stream=True)
    assert told.headers["x-folio-model"] == model
    assert told.text.endswith("data: [DONE]\n\n")


async def test_a_stream_of_named_events_is_read_as_any_other(portfolio: Portfolio) -> None:
    named = b"event: completion\n" + event() + b"event: ping\ndata: {}\n\n"
    usage = b"event: completion\n" + event(choices=[], usage=USAGE)
    async with saying(named + usage + b"event: end\ndata: [DONE]\n\n", "text/event-stream") as port:
        told = await asked(portfolio, port, Accept(signal="Always"), stream=True)
    assert told.headers["x-folio-model"] == "liar"
    assert "event:" not in told.text
    assert '"model":"liar"' in told.text
    assert logged(portfolio).items() >= {"prompt_tokens": 3, "completion_tokens": 2}.items()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("status", [401, 403])
async def test_what_is_said_of_the_key_is_kept_back(
    portfolio: Portfolio, status: int, *, stream: bool
) -> None:
    refusal = b'{"error":{"message":"Incorrect API key provided: sk-ab***yz"}}'
    async with saying(refusal, "application/json", status) as port:
        await asked(portfolio, port, Accept(signal="Always"))
        told = await portfolio.chat(model="liar", stream=stream)
    assert told.status_code == 503
    assert f"liar answered {status}: it does not take the portfolio's key" in told.json()["error"]["message"]
    assert "sk-" not in told.text + portfolio.log.getvalue()


@pytest.mark.parametrize(
    ("reply", "content_type"),
    [
        (b"<html>bad request</html>", "text/html"),
        (b'{"detail":"bad request"}', "application/json"),
        (b'{"error":"bad request"}', "application/json"),
        (b'{"error":{"message":5,"a":"bad request"}}', "application/json"),
        (b'["bad request"]', "application/json"),
    ],
    ids=lambda one: str(one)[:30],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_refusal_of_another_shape_is_told_in_openai_s(
    portfolio: Portfolio, reply: bytes, content_type: str, *, stream: bool
) -> None:
    async with saying(reply, content_type, 400) as port:
        told = await asked(portfolio, port, Accept(signal="Always"), stream=stream)
    error = told.json()["error"]
    assert told.status_code == 400
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        None,
        "invalid_request",
    )
    assert error["message"].startswith("liar refused the request: ")
    assert "bad request" in error["message"]


async def test_a_refusal_of_openai_s_shape_is_told_as_it_came(portfolio: Portfolio) -> None:
    refusal = {"error": {"message": "no such voice", "type": "x", "param": "voice", "code": "y"}}
    async with saying(json.dumps(refusal).encode(), "application/json", 400) as port:
        told = await asked(portfolio, port, Accept(signal="Always"))
    assert (told.status_code, told.json()) == (400, refusal)


async def test_a_key_that_an_error_repeats_is_blackened(portfolio: Portfolio, tmp_path: Path) -> None:
    (tmp_path / "k").write_text("sk-secret")
    for status in (400, 500):
        reply = json.dumps({"error": {"message": "bad key sk-secret"}}).encode()
        async with saying(reply, "application/json", status) as port:
            told = await asked(portfolio, port, Accept(signal="Always"), {"api_key_file": "k"})
            named = await portfolio.chat(model="liar")
        assert "sk-secret" not in told.text + named.text
        assert "bad key ***" in named.text


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


@pytest.mark.parametrize(
    "usage", [[event(choices=[], usage={"completion_tokens": 60})], []], ids=["told", "guessed"]
)
async def test_the_tokens_of_a_stream_count_against_the_limit_of_its_provider(
    portfolio: Portfolio, usage: list[bytes]
) -> None:
    stream = event() * 200 + b"".join(usage) + b"data: [DONE]\n\n"
    async with saying(stream, "text/event-stream") as port:
        first = await asked(portfolio, port, Accept(signal="Always"), {"tokens_per_minute": 80}, stream=True)
        second = await portfolio.chat(tools=TOOLS, stream=True)
    assert first.headers["x-folio-model"] == "liar"
    assert second.headers["x-folio-model"] == "large"
    assert '"reason":"QueueFull"' in second.text


def heard(portfolio: Portfolio, count: int) -> asyncio.Event:
    """Return what is set once the portfolio's client was sent so many events."""
    enough, sent = asyncio.Event(), 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def counted(message: Any) -> None:
            nonlocal sent
            await send(message)
            sent += message.get("body", b"").count(b'"content"')
            if sent >= count:
                enough.set()

        await portfolio.process.app(scope, receive, counted)

    portfolio.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")
    return enough


@pytest.mark.parametrize("ending", ["broken", "left"])
async def test_what_a_stream_said_before_it_broke_or_was_left_counts_too(
    portfolio: Portfolio, ending: str
) -> None:
    limit = {"tokens_per_minute": 80}
    async with saying(event() * 200, "text/event-stream", stays=ending == "left") as port:
        all_said = heard(portfolio, 200)
        first = asyncio.create_task(asked(portfolio, port, Accept(signal="Always"), limit, stream=True))
        if ending == "left":
            await asyncio.wait_for(all_said.wait(), 10)
            first.cancel()
        await asyncio.wait([first])
        said = logged(portfolio)
        second = await portfolio.chat(tools=TOOLS, stream=True)
    assert said["reason"] == ("ClientLeft" if ending == "left" else "UpstreamError")
    assert (said["completion_tokens"], said["estimated"]) == (58, True)  # of 200 bytes
    assert second.headers["x-folio-model"] == "large"

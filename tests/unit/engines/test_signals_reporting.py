from __future__ import annotations

from typing import Any

import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.unit.engines.asgi import FakeEngine, Played, play
from tests.unit.engines.test_signals_request import MESSAGES, answer, choice
from tests.unit.engines.test_signals_stream import DONE, STREAM

from folio_serving.confidence import parse_signals
from folio_serving.engines.busy import BusyClock
from folio_serving.engines.reporting import Reporting

CHAT = "/v1/chat/completions"


async def asked(
    engine: FakeEngine, signals: str | None = "logprobs", path: str = CHAT, **body: Any
) -> Played:
    headers = {"content-length": "0", **({"x-folio-signals": signals} if signals is not None else {})}
    request = orjson.dumps({"model": "tiny", "messages": MESSAGES, **body})
    return await play(Reporting(engine, BusyClock()), path=path, headers=headers, body=request)


async def test_a_request_without_the_header_passes_unread() -> None:
    engine = FakeEngine([b"not", b" json"])
    played = await play(Reporting(engine, BusyClock()), path=CHAT, body=b"not json either")
    assert (engine.bodies, played.body) == ([b"not json either"], b"not json")
    assert "x-folio-signals" not in played.headers


async def test_a_whole_answer_carries_the_header_and_its_new_length() -> None:
    engine = FakeEngine([orjson.dumps(answer(choice(-0.1, -0.3)))])
    played = await asked(engine)
    assert orjson.loads(engine.bodies[0])["logprobs"] is True
    assert played.headers["content-length"] == str(len(played.body))
    assert orjson.loads(played.body)["choices"][0]["logprobs"] is None
    signals = parse_signals(played.headers["x-folio-signals"])
    assert signals.completion == 2
    assert signals.seconds is not None


async def test_an_answer_in_parts_is_read_whole() -> None:
    body = orjson.dumps(answer(choice(-0.1)))
    played = await asked(FakeEngine([body[:50], body[50:51], body[51:]]))
    assert parse_signals(played.headers["x-folio-signals"]).finish == "stop"


async def test_an_error_passes_as_it_is_and_still_costs_seconds() -> None:
    engine = FakeEngine([b'{"error":{"message":"no"}}'], status=404)
    played = await asked(engine)
    assert (played.status, played.body) == (404, b'{"error":{"message":"no"}}')
    assert parse_signals(played.headers["x-folio-signals"]).seconds is not None


async def test_a_stream_is_passed_on_event_by_event() -> None:
    engine = FakeEngine(STREAM, content_type="text/event-stream; charset=utf-8")
    played = await asked(engine, "logprobs;at=2", stream=True)
    assert orjson.loads(engine.bodies[0])["stream_options"] == {"include_usage": True}
    parts = [message["body"] for message in played.messages[1:]]
    assert len(parts) == len(STREAM) - 1  # the usage chunk was not asked for
    assert played.body.endswith(DONE)
    assert played.body.count(b": folio ") == 2
    assert [message["more_body"] for message in played.messages[1:]] == [True] * (len(parts) - 1) + [False]


async def test_the_engine_still_hears_that_the_client_left() -> None:
    engine = FakeEngine([b"{}"])
    await asked(engine)
    assert engine.afterwards == [{"type": "http.disconnect"}]


async def test_a_client_that_leaves_before_its_body_is_sent_costs_the_engine_nothing() -> None:
    engine = FakeEngine([b"{}"])

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "path": CHAT, "headers": [(b"x-folio-signals", b"usage")]}
    await Reporting(engine, BusyClock())(scope, receive, send)
    assert engine.bodies == []


async def test_a_request_that_fails_is_out_of_the_busy_clock() -> None:
    clock = BusyClock()

    async def dies(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("engine")

    with pytest.raises(RuntimeError):
        await play(Reporting(dies, clock), path=CHAT)
    mark = clock.enter()
    assert clock.leave(mark) < 0.5

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from folio_serving.confidence import parse_comment, parse_signals
from folio_serving.engines.busy import BusyClock
from folio_serving.engines.light import Embedded, LightApp, Reply
from folio_serving.errors import Trouble

CHAT = {
    "model": "desk",
    "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}],
}
EMBED = {"model": "desk", "input": ["a", "b"]}


@dataclass
class FakeEngine:
    asked: list[str] = field(default_factory=list)

    async def reply(self, text: str) -> Reply:
        self.asked.append(text)
        return Reply("greeting", 0.75, 2, beside={"folio": {"passages": []}})

    async def embedded(self, texts: Sequence[str]) -> Embedded:
        return Embedded([struct.pack("<2f", number, 0.5) for number in range(len(texts))], tokens=7)


class SleepingEngine(FakeEngine):
    async def reply(self, text: str) -> Reply:
        raise Trouble("Unavailable", "the embedder sleeps")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]


async def ask(
    body: Any,
    path: str = "/v1/chat/completions",
    *,
    method: str = "POST",
    engine: FakeEngine | None = None,
    **headers: str,
) -> Answer:
    sent: list[dict[str, Any]] = []
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    pending = [{"type": "http.request", "body": content, "more_body": False}]
    scope = {
        "type": "http",
        "path": path,
        "method": method,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> dict[str, Any]:
        return pending.pop() if pending else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    app = LightApp("desk", engine or FakeEngine(), BusyClock(lambda: 5.0), now=lambda: 1000.0)
    await app(scope, receive, send)
    return Answer(
        sent[0]["status"],
        {name.decode(): value.decode() for name, value in sent[0]["headers"]},
        b"".join(message.get("body", b"") for message in sent[1:]),
    )


async def test_a_chat_is_answered_in_openais_shape() -> None:
    engine = FakeEngine()
    answer = await ask(CHAT, engine=engine, x_folio_request_id="r1")
    assert answer.status == 200
    assert engine.asked == ["hello"]
    assert answer.json == {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "created": 1000,
        "model": "desk",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "greeting", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
        "folio": {"passages": []},
    }


async def test_signals_are_reported_where_they_are_asked_for() -> None:
    unasked = await ask(CHAT)
    asked = await ask(CHAT, x_folio_signals="usage")
    assert "x-folio-signals" not in unasked.headers
    signals = parse_signals(asked.headers["x-folio-signals"])
    assert (signals.score, signals.prompt, signals.completion) == (0.75, 2, 1)
    assert (signals.finish, signals.decoding, signals.seconds) == ("stop", "greedy", 0)


async def test_several_choices_are_the_same_answer() -> None:
    answer = await ask({**CHAT, "n": 3})
    assert [choice["index"] for choice in answer.json["choices"]] == [0, 1, 2]
    assert answer.json["usage"]["completion_tokens"] == 3


async def test_a_stream_ends_with_usage_comment_and_done() -> None:
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    answer = await ask(body, x_folio_signals="logprobs;at=32")
    parts = answer.body.decode().split("\n\n")
    events = [json.loads(part[6:]) for part in parts if part.startswith("data: {")]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [event["choices"][0]["delta"] for event in events[:2]] == [
        {"role": "assistant", "content": "greeting"},
        {},
    ]
    assert events[1]["choices"][0]["finish_reason"] == "stop"
    assert events[2] == {
        **events[2],
        "choices": [],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
    }
    early, end = (parse_comment(part) for part in parts if part.startswith(": folio"))
    assert early is not None
    assert end is not None
    assert (early.end, early.signals.score, end.end, end.signals.score) == (False, 0.75, True, 0.75)
    assert parts[-2:] == ["data: [DONE]", ""]


async def test_a_plain_stream_has_neither_usage_nor_comments() -> None:
    answer = await ask({**CHAT, "stream": True})
    assert answer.body.count(b"data: ") == 3
    assert b": folio" not in answer.body
    assert b"usage" not in answer.body


async def test_vectors_come_as_numbers_or_as_base64() -> None:
    numbers = await ask(EMBED, "/v1/embeddings")
    coded = await ask({**EMBED, "encoding_format": "base64"}, "/v1/embeddings")
    assert [item["embedding"] for item in numbers.json["data"]] == [[0.0, 0.5], [1.0, 0.5]]
    assert base64.b64decode(coded.json["data"][1]["embedding"]) == struct.pack("<2f", 1, 0.5)
    assert coded.json["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert [item["index"] for item in coded.json["data"]] == [0, 1]


async def test_the_listing_names_the_model() -> None:
    answer = await ask(b"", "/v1/models", method="GET")
    assert [model["id"] for model in answer.json["data"]] == ["desk"]


@pytest.mark.parametrize(
    ("body", "path", "method", "status", "code", "message"),
    [
        (b"{", "/v1/chat/completions", "POST", 400, "invalid_request", "not valid JSON"),
        ([], "/v1/chat/completions", "POST", 400, "invalid_request", "must be a JSON object"),
        ({"model": "desk"}, "/v1/chat/completions", "POST", 400, "invalid_request", "messages is required"),
        ({**CHAT, "model": "other"}, "/v1/chat/completions", "POST", 404, "model_not_found", "'other' is not 'desk'"),
        (CHAT, "/v1/chat/completions", "GET", 405, "method_not_allowed", "is asked by POST"),
        (CHAT, "/v1/completions", "POST", 404, "unknown_url", "desk answers /v1/chat/completions"),
        ({**EMBED, "input": [1, 2]}, "/v1/embeddings", "POST", 400, "unsupported", "texts, not token ids"),
        ({**EMBED, "input": ["x"] * 2049}, "/v1/embeddings", "POST", 400, "invalid_request", "at most 2048"),
        ({**EMBED, "dimensions": 12}, "/v1/embeddings", "POST", 400, "unsupported", "one size only"),
    ],
)  # fmt: skip
async def test_trouble_is_openais_error(
    body: Any, path: str, method: str, status: int, code: str, message: str
) -> None:
    answer = await ask(body, path, method=method)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert message in answer.error["message"]


async def test_an_engines_trouble_keeps_its_status_and_reason() -> None:
    answer = await ask(CHAT, engine=SleepingEngine())
    assert (answer.status, answer.error["code"]) == (503, "Unavailable")
    assert answer.error["message"] == "the embedder sleeps"


async def test_a_client_that_left_before_its_body_was_whole_is_not_answered() -> None:
    engine = FakeEngine()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/v1/chat/completions", "method": "POST", "headers": []}
    await LightApp("desk", engine, BusyClock())(scope, receive, send)
    assert (sent, engine.asked) == ([], [])

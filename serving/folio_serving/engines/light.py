"""OpenAI's wire for engines that answer at once and have no server of their own: encoder and retriever.

An engine says what it answers; this says it in OpenAI's words, whole or as a stream of one piece, with the
signals that were asked for.
"""

from __future__ import annotations

import base64
import re
import struct
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import uuid4

import orjson
from starlette.types import Receive, Scope, Send

from folio_serving.confidence import SIGNALS_HEADER, Signals, format_comment, format_signals
from folio_serving.engines.body import whole_body
from folio_serving.engines.busy import BusyClock
from folio_serving.engines.signals import Wanted, parse_wanted
from folio_serving.errors import Trouble
from folio_serving.openai import Query, parse_body, parse_query

MAX_INPUTS = 2048
"""Of one embeddings request; OpenAI's own limit."""
_SIGNALS = SIGNALS_HEADER.encode()
_WORD = re.compile(r"\w+|[^\w\s]")
_REQUEST_ID = b"x-folio-request-id"


@dataclass(frozen=True)
class Reply:
    """What an engine answers to a chat."""

    content: str
    score: float
    prompt_tokens: int
    beside: Mapping[str, Any] = field(default_factory=dict)
    """Members of the body besides OpenAI's, such as a retriever's passages."""

    @property
    def completion_tokens(self) -> int:
        return words(self.content)


def words(text: str) -> int:
    """Return what `usage` says of an engine that has no tokenizer: words and punctuation marks."""
    return len(_WORD.findall(text))


@dataclass(frozen=True)
class Embedded:
    rows: Sequence[bytes]
    """One vector a text, as little-endian float32: what base64 carries."""
    tokens: int

    def encoded(self, encoding: str) -> list[str] | list[list[float]]:
        """Return the vectors as the client wants them; the openai client asks for base64 by default."""
        if encoding == "base64":
            return [base64.b64encode(row).decode() for row in self.rows]
        return [[value for (value,) in struct.iter_unpack("<f", row)] for row in self.rows]


class Engine(Protocol):
    """What stands behind the wire; it raises Trouble for what it cannot answer."""

    async def reply(self, text: str) -> Reply: ...

    async def embedded(self, texts: Sequence[str]) -> Embedded: ...


@dataclass(frozen=True)
class _Request:
    """One request, and what its answer must carry."""

    id: str
    model: str
    wanted: Wanted | None
    seconds: Callable[[], float]
    send: Send
    created: int

    def report(self, signals: Signals) -> Signals:
        return replace(signals, seconds=self.seconds())


class LightApp:
    """ASGI: one model's OpenAI endpoints. `now` is the clock of the answers' `created`."""

    def __init__(
        self, model: str, engine: Engine, clock: BusyClock, now: Callable[[], float] = time.time
    ) -> None:
        self._model = model
        self._engine = engine
        self._clock = clock
        self._now = now
        self._handlers: dict[str, Callable[[_Request, dict[str, Any]], Awaitable[None]]] = {
            "/v1/chat/completions": self._chat,
            "/v1/embeddings": self._embeddings,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} here")
        mark = self._clock.enter()
        request = self._request(scope, send, lambda: self._clock.so_far(mark))
        try:
            await self._answer(scope, receive, request)
        except Trouble as trouble:
            await _send_json(request, trouble.shape.status, trouble.body(), Signals())
        finally:
            self._clock.leave(mark)

    def _request(self, scope: Scope, send: Send, seconds: Callable[[], float]) -> _Request:
        headers = dict(scope["headers"])
        wanted = headers.get(_SIGNALS)
        return _Request(
            id=headers.get(_REQUEST_ID, b"").decode("latin-1") or uuid4().hex,
            model=self._model,
            wanted=parse_wanted(wanted.decode("latin-1")) if wanted is not None else None,
            seconds=seconds,
            send=send,
            created=int(self._now()),
        )

    async def _answer(self, scope: Scope, receive: Receive, request: _Request) -> None:
        path, method = scope["path"], scope["method"]
        handler = self._handlers.get(path)
        if path == "/v1/models" and method == "GET":
            await _send_json(request, 200, _listing(request), Signals())
        elif handler is None:
            raise Trouble(
                "UnknownPath", f"{path}: {self._model} answers {', '.join(self._handlers)}, /v1/models"
            )
        elif method != "POST":
            raise Trouble("Method", f"{path} is asked by POST, not {method}")
        else:
            content = await whole_body(receive)
            if content is not None:
                await handler(request, parse_body(content))

    async def _chat(self, request: _Request, body: dict[str, Any]) -> None:
        query = parse_query("chat", body, {})
        self._check_model(body)
        reply = await self._engine.reply(query.facts.text)
        if query.stream:
            await _send_stream(request, query, reply)
        else:
            await _send_json(request, 200, _completion(request, query, reply), _signals(query, reply))

    async def _embeddings(self, request: _Request, body: dict[str, Any]) -> None:
        query = parse_query("embeddings", body, {})
        self._check_model(body)
        if not query.facts.texts:
            raise Trouble("Unsupported", f"input: {self._model} reads texts, not token ids", "input")
        if len(query.facts.texts) > MAX_INPUTS:
            raise Trouble("Malformed", f"input must hold at most {MAX_INPUTS} texts", "input")
        if body.get("dimensions") is not None:
            raise Trouble(
                "Unsupported", f"dimensions: {self._model}'s vectors have one size only", "dimensions"
            )
        found = await self._engine.embedded(query.facts.texts)
        encoded = found.encoded(body.get("encoding_format") or "float")
        signals = Signals(prompt=found.tokens, completion=0, finish="stop")
        await _send_json(request, 200, _embedding_list(request, encoded, found.tokens), signals)

    def _check_model(self, body: Mapping[str, Any]) -> None:
        if body["model"] != self._model:
            raise Trouble(
                "UnknownModel", f"model {body['model']!r} is not {self._model!r}, which answers here", "model"
            )


def _signals(query: Query, reply: Reply) -> Signals:
    completion = reply.completion_tokens * query.choices
    # An engine without sampling is greedy whatever the request's temperature: one calibration holds for all.
    return Signals(
        score=reply.score, prompt=reply.prompt_tokens, completion=completion, finish="stop", decoding="greedy"
    )


def _usage(query: Query, reply: Reply) -> dict[str, int]:
    completion = reply.completion_tokens * query.choices
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": reply.prompt_tokens + completion,
    }


def _head(request: _Request, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{request.id}",
        "object": kind,
        "created": request.created,
        "model": request.model,
    }


def _completion(request: _Request, query: Query, reply: Reply) -> bytes:
    message = {"role": "assistant", "content": reply.content, "refusal": None}
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": "stop"}
        for index in range(query.choices)
    ]
    head = _head(request, "chat.completion")
    return orjson.dumps({**head, "choices": choices, "usage": _usage(query, reply), **reply.beside})


def _listing(request: _Request) -> bytes:
    model = {"id": request.model, "object": "model", "created": request.created, "owned_by": "folio"}
    return orjson.dumps({"object": "list", "data": [model]})


def _embedding_list(request: _Request, vectors: Sequence[Any], tokens: int) -> bytes:
    data = [
        {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": data, "model": request.model, "usage": usage})


async def _send_json(request: _Request, status: int, body: bytes, signals: Signals) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if request.wanted is not None:
        headers.append((_SIGNALS, format_signals(request.report(signals)).encode()))
    await request.send({"type": "http.response.start", "status": status, "headers": headers})
    await request.send({"type": "http.response.body", "body": body})


async def _send_stream(request: _Request, query: Query, reply: Reply) -> None:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
    await request.send({"type": "http.response.start", "status": 200, "headers": headers})
    events = b"".join(_events(request, query, reply))
    await request.send({"type": "http.response.body", "body": events})


def _events(request: _Request, query: Query, reply: Reply) -> list[bytes]:
    """Return the whole stream: what was said, why it ended, what it cost, and our comments where asked."""
    head = _head(request, "chat.completion.chunk")
    said = {"role": "assistant", "content": reply.content}
    signals = _signals(query, reply)
    found = [_event({**head, "choices": _deltas(query, said, None)})]
    if request.wanted is not None and request.wanted.at is not None:
        found.append(_comment(Signals(score=reply.score, n=signals.completion), end=False))
    found.append(_event({**head, "choices": _deltas(query, {}, "stop"), **reply.beside}))
    if query.wants_usage:
        found.append(_event({**head, "choices": [], "usage": _usage(query, reply)}))
    if request.wanted is not None:
        found.append(_comment(request.report(signals), end=True))
    return [*found, b"data: [DONE]\n\n"]


def _deltas(query: Query, delta: Mapping[str, str], finish: str | None) -> list[dict[str, Any]]:
    return [{"index": index, "delta": delta, "finish_reason": finish} for index in range(query.choices)]


def _event(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _comment(signals: Signals, *, end: bool) -> bytes:
    return format_comment(signals, end=end).encode() + b"\n\n"


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return

"""Model replicas and providers played by one small server on the loopback address: each answers as its name was told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn


@dataclass(frozen=True)
class Plays:
    """How one model behaves."""

    text: str = "hello"
    mean: float | None = 0.9
    score: float | None = None
    status: int = 200
    error: str = "went wrong"
    indent: int | None = None
    """Of what says so."""
    seconds: float = 0.0
    """Before the answer's headers."""
    chunks: int = 4
    chunk_seconds: float = 0.0
    breaks_after: int | None = None
    """Chunks of a stream before its connection is cut."""
    prompt: int = 7
    completion: int = 5
    finish: str = "stop"
    passages: tuple[dict[str, Any], ...] = ()
    tool_call: str | None = None
    identity: str | None = None
    """Of a replica that says it."""
    provider: bool = False
    """Speaks plain OpenAI: no signals, logprobs where asked."""


@dataclass
class Models:
    """What was asked, and what is being answered."""

    plays: dict[str, Plays] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    spares_canaries: bool = False
    """Answers canaries at once, so that what runs is what clients asked."""
    running: int = 0
    cancelled: int = 0
    connections: set[tuple[str, int]] = field(default_factory=set)
    port: int = 0

    def names(self) -> list[str]:
        return [body["model"] for body in self.asked]

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.connections.add(tuple(scope["client"]))
        body = json.loads(await _body(receive) or b"{}")
        if scope["path"].endswith("/models"):
            await _json(send, 200, {"object": "list", "data": []})
            return
        self.asked.append(body)
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        self.running += 1
        work = asyncio.ensure_future(self._answer(body, scope["path"], send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self.cancelled += 1
            else:
                work.result()
        finally:
            self.running -= 1
            for task in (work, gone):
                task.cancel()

    async def _answer(self, body: dict[str, Any], path: str, send: Any) -> None:
        canary = self.headers[-1].get("x-folio-request-id") == "folio-canary"
        play = Plays() if canary and self.spares_canaries else self.plays.get(body["model"], Plays())
        await asyncio.sleep(play.seconds)
        if play.status != 200:
            error = {"message": play.error, "type": "x", "param": None, "code": "x"}
            await _json(send, play.status, {"error": error}, indent=play.indent)
        elif path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}]
            await _json(send, 200, {"object": "list", "model": body["model"], "data": data}, [signals(play)])
        elif body.get("stream"):
            await self._stream(body, play, send)
        else:
            await _json(
                send, 200, whole(body, play), [] if play.provider else [signals(play), *identity(play)]
            )

    async def _stream(self, body: dict[str, Any], play: Plays, send: Any) -> None:
        start = {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/event-stream"), *identity(play)],
        }
        await send(start)
        for index in range(play.chunks):
            if index == play.breaks_after:
                raise ConnectionError("the replica dies here")
            await _event(send, chunk(body, play, index))
            if not play.provider and index == 1 and "at=" in self.headers[-1].get("x-folio-signals", ""):
                await _send(send, f": folio mean={play.mean};min={play.mean};n=2\n\n")
            await asyncio.sleep(play.chunk_seconds)
        if (body.get("stream_options") or {}).get("include_usage"):
            await _event(send, frame(body) | {"choices": [], "usage": usage(play)})
        if not play.provider:
            await _send(send, f": folio end;{signals(play)[1].decode()}\n\n")
        await _send(send, "data: [DONE]\n\n")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def signals(play: Plays) -> tuple[bytes, bytes]:
    pairs = {"mean": play.mean, "min": play.mean, "score": play.score, "prompt": play.prompt}
    pairs |= {"completion": play.completion, "finish": play.finish, "seconds": 0.5, "class": "sampled"}
    return b"x-folio-signals", ";".join(f"{k}={v}" for k, v in pairs.items() if v is not None).encode()


def identity(play: Plays) -> list[tuple[bytes, bytes]]:
    return [(b"x-folio-identity", play.identity.encode())] if play.identity is not None else []


def usage(play: Plays) -> dict[str, int]:
    total = play.prompt + play.completion
    return {"prompt_tokens": play.prompt, "completion_tokens": play.completion, "total_tokens": total}


def frame(body: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}


def logprobs(body: dict[str, Any], play: Plays) -> dict[str, Any] | None:
    if not body.get("logprobs"):
        return None
    return {
        "content": [
            {"token": play.text, "logprob": math.log(play.mean or 0.5), "bytes": None, "top_logprobs": []}
        ]
    }


def chunk(body: dict[str, Any], play: Plays, index: int) -> dict[str, Any]:
    delta: dict[str, Any] = {"content": play.text[index :: play.chunks]}
    if play.tool_call:
        call = {
            "index": 0,
            "id": play.tool_call,
            "type": "function",
            "function": {"name": "f", "arguments": "{}"},
        }
        delta = {"tool_calls": [call]}
    finish = play.finish if index == play.chunks - 1 else None
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs(body, play)}
    return frame(body) | {"choices": [choice]}


def whole(body: dict[str, Any], play: Plays) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": play.text}
    if play.tool_call:
        call = {"id": play.tool_call, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": play.finish, "logprobs": logprobs(body, play)}
    answer = frame(body) | {"object": "chat.completion", "choices": [choice], "usage": usage(play)}
    if "prompt" in body:
        answer |= {
            "object": "text_completion",
            "choices": [{"index": 0, "text": play.text, "finish_reason": "stop"}],
        }
    if play.passages:
        answer["folio"] = {"passages": list(play.passages)}
    return answer


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Any, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _event(send: Any, message: dict[str, Any]) -> None:
    await _send(send, f"data: {json.dumps(message, separators=(',', ':'))}\n\n")


async def _json(
    send: Any,
    status: int,
    value: Any,
    headers: list[tuple[bytes, bytes]] = [],  # noqa: B006
    indent: int | None = None,
) -> None:
    start = [(b"content-type", b"application/json"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": json.dumps(value, indent=indent).encode()})


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[int]:
    """Serve an ASGI application on a free port of the loopback address."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        await task

"""The ASGI wrapper around an engine's own HTTP app that reports signals; unasked, bytes pass unread."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from folio_serving.confidence import SIGNALS_HEADER, Signals, format_signals
from folio_serving.engines.body import whole_body
from folio_serving.engines.busy import BusyClock
from folio_serving.engines.signals import Asked, parse_wanted, read_answer, rewrite
from folio_serving.engines.stream_signals import StreamSignals

_HEADER = SIGNALS_HEADER.encode()
Headers = list[tuple[bytes, bytes]]


class Reporting:
    """ASGI: answers `x-folio-signals` on the way out, and changes the request so that it can."""

    def __init__(self, app: ASGIApp, clock: BusyClock, *, reasoning: bool = False) -> None:
        self._app = app
        self._clock = clock
        self._reasoning = reasoning

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        mark = self._clock.enter()
        try:
            await self._answer(scope, receive, send, mark)
        finally:
            self._clock.leave(mark)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, mark: float) -> None:
        wanted = next((value for name, value in scope["headers"] if name == _HEADER), None)
        body = await whole_body(receive) if wanted is not None else None
        if wanted is None:
            await self._app(scope, receive, send)
        elif body is not None:
            body, asked = rewrite(
                scope["path"], body, parse_wanted(wanted.decode("latin-1")), reasoning=self._reasoning
            )
            answer = _Answer(send, StreamSignals(asked, seconds=lambda: self._clock.so_far(mark)))
            headers = _with_length(scope["headers"], len(body))
            await self._app({**scope, "headers": headers}, _replay(body, receive), answer.send)


@dataclass(slots=True)
class _Answer:
    """The way out of one request: events are passed on as they come, anything else is read whole."""

    onward: Send
    stream: StreamSignals
    start: Message = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    streams: bool = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            self.streams = _is_event_stream(message)
            if self.streams:
                await self.onward(message)
        elif message["type"] == "http.response.body":
            await self._body(message.get("body", b""), more=message.get("more_body", False))
        else:
            await self.onward(message)

    async def _body(self, part: bytes, *, more: bool) -> None:
        if self.streams:
            out = self.stream.feed(part) + (b"" if more else self.stream.flush())
            if out or not more:
                await self.onward({"type": "http.response.body", "body": out, "more_body": more})
            return
        self.parts.append(part)
        if not more:
            await self._whole(b"".join(self.parts))

    async def _whole(self, body: bytes) -> None:
        body, signals = _read(self.start["status"], body, self.stream.asked)
        report = format_signals(replace(signals, seconds=self.stream.seconds()))
        headers = [*_with_length(self.start["headers"], len(body)), (_HEADER, report.encode())]
        await self.onward({**self.start, "headers": headers})
        await self.onward({"type": "http.response.body", "body": body})


def _read(status: int, body: bytes, asked: Asked) -> tuple[bytes, Signals]:
    return read_answer(body, asked) if status == 200 else (body, Signals(decoding=asked.decoding))


def _is_event_stream(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in start.get("headers", ())
    )


def _with_length(headers: Headers, length: int) -> Headers:
    return [(name, b"%d" % length if name.lower() == b"content-length" else value) for name, value in headers]


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body once and then what the server says: that the client left."""
    pending = [body]

    async def replayed() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replayed

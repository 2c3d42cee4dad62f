"""A streamed response on its way to the client: headers late, heartbeats while nothing is decided, then
events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from folio_serving.sse import DONE, HEARTBEAT

Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

_EVENT_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
)


class Outlet:
    """One streamed response. Until `begin`, an error can still be a status."""

    def __init__(self, send: Send, headers: tuple[Header, ...]) -> None:
        self.send = send
        self._headers = headers
        self._first_beat: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None
        self.begun = False
        self.model: str | None = None
        """Whose content the client has seen; None while it has seen none."""

    async def events(self, data: bytes, model: str, headers: tuple[Header, ...] = ()) -> None:
        """Send content. From the first on, nobody else can answer."""
        if self.model is None:
            self.model = model
            self.stop_beating()
            await self.begin(headers)
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def begin(self, headers: tuple[Header, ...] = ()) -> None:
        if not self.begun:
            self.begun = True
            start = [*_EVENT_HEADERS, *self._headers, *headers]
            await self.send({"type": "http.response.start", "status": 200, "headers": start})

    async def end(self, last: bytes) -> None:
        self.stop_beating()
        await self.begin()
        await self.send({"type": "http.response.body", "body": last + DONE, "more_body": False})

    async def fail(self, error: bytes) -> None:
        """End the stream with an OpenAI error object: its status is long gone."""
        self.stop_beating()
        await self.begin()
        # In JSON line ends stand between tokens; in an event they would end its data.
        line = error.replace(b"\r", b" ").replace(b"\n", b" ")
        await self.send(
            {"type": "http.response.body", "body": b"data: " + line + b"\n\n", "more_body": False}
        )

    def beat(self, every_seconds: float) -> None:
        """From then on, send a comment at every interval until there is content."""
        # Most streams have content long before, and a timer costs a tenth of a task.
        loop = asyncio.get_running_loop()
        self._first_beat = loop.call_later(every_seconds, self._start_beating, every_seconds)

    def stop_beating(self) -> None:
        if self._first_beat is not None:
            self._first_beat.cancel()
            self._first_beat = None
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None

    def _start_beating(self, interval_seconds: float) -> None:
        self._beating = asyncio.get_running_loop().create_task(self._beat(interval_seconds))

    async def _beat(self, interval_seconds: float) -> None:
        while True:
            await self.begin()
            await self.send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
            await asyncio.sleep(interval_seconds)


def rung_headers(rung: int, model: str) -> tuple[Header, ...]:
    return ((b"x-folio-rung", str(rung).encode()), (b"x-folio-model", model.encode()))

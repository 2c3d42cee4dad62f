"""The gateway's side of an HTTP/1.1 connection: one request at a time, chunks as they come, and no more than
that.

A general client costs several times the CPU of everything else that the gateway does with a request.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from typing import cast

import httptools

PAUSE_ABOVE_BYTES = 1 << 20
"""A slow client holds its own stream back, not the gateway's memory."""
MAX_WHOLE_BYTES = 64 << 20


class ConnectError(Exception):
    """No connection: the request was not sent, so another replica may be asked."""


class LostError(Exception):
    """The connection ended within an answer, or what came over it was not HTTP."""


class Connection(asyncio.Protocol):
    """A keep-alive connection. `ask`, then `whole` or `chunk` until it returns nothing."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._head = self._done = self._kept = self._lost = self._paused = False
        self._wait_for_end = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def reusable(self) -> bool:
        """Whether the answer is complete and the server keeps the connection open."""
        return self._done and self._kept and not self._lost

    @property
    def lost(self) -> bool:
        return self._lost

    async def ask(self, request: bytes, *, whole: bool = False) -> None:
        """Send a request and return at the answer's headers, or at its end where `whole`."""
        if self._lost or self._transport is None:
            raise ConnectError("the connection is closed")
        if self._done:
            self._parser = httptools.HttpResponseParser(self)
        self.status, self.headers = 0, {}
        self._head = self._done = False
        self._chunks.clear()
        self._buffered = 0
        self._transport.write(request)
        self._wait_for_end = whole
        while not (self._done if whole else self._head):
            await self._news()

    async def whole(self) -> bytes:
        """Return the whole body."""
        self._wait_for_end = True
        while not self._done:
            await self._news()
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        return body

    async def chunk(self) -> bytes:
        """Return what has come since the last call; nothing when the answer is complete."""
        self._wait_for_end = False
        while not self._chunks and not self._done:
            await self._news()
        if not self._chunks:
            return b""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        self._resume()
        return data

    def close(self) -> None:
        """End the connection; a request that still runs at the other end is cancelled by that."""
        self._lost = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()
        if (self._head and (self._done or not self._wait_for_end)) or self._lost:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._lost = True
        if self._head and not self._done and self._ends_at_close():
            self._done = True
        self._wake()

    def on_status(self, status: bytes) -> None: ...

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._head = self.status >= 200

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._buffered += len(body)
        if self._wait_for_end:
            if self._buffered > MAX_WHOLE_BYTES:
                self.close()
        elif self._buffered > PAUSE_ABOVE_BYTES and self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        self._done = self._head
        self._kept = bool(self._parser.should_keep_alive())  # the parser forgets it right after

    def _resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _ends_at_close(self) -> bool:
        return b"content-length" not in self.headers and b"transfer-encoding" not in self.headers

    async def _news(self) -> None:
        if self._lost:
            raise LostError("the connection was lost before the answer was complete")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def connect(
    host: str, port: int, *, tls: ssl.SSLContext | None = None, timeout_seconds: float = 3.0
) -> Connection:
    """Return a new connection."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_seconds):
            _, connection = await loop.create_connection(Connection, host, port, ssl=tls)
    except (OSError, TimeoutError) as error:
        raise ConnectError(f"cannot connect to {host}:{port}: {str(error) or 'timed out'}") from error
    return connection


class IdleConnections:
    """Connections that wait for their next request, the warmest first."""

    def __init__(self, max_idle_seconds: float) -> None:
        self._max_idle_seconds = max_idle_seconds
        self._idle: list[Connection] = []

    def take(self) -> Connection | None:
        """Return a live connection that was used lately; servers close old ones just when they are used
        again.
        """
        oldest = time.monotonic() - self._max_idle_seconds
        while self._idle:
            connection = self._idle.pop()
            if not connection.lost and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    def give(self, connection: Connection) -> None:
        if connection.reusable:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def __len__(self) -> int:
        return len(self._idle)

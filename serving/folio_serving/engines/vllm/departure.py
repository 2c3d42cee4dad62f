"""A client that leaves ends its work in the engine, whoever notices first.

vLLM listens for the disconnect message itself and cancels its own handler. Serve, on the same event, cancels
the whole request from outside: that ends vLLM's listener and leaves its handler running to the last token. So
a cancellation becomes what vLLM understands: the app, in a task of its own, is told that the client left.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_GRACE_SECONDS = 5.0
"""How long the app may take to wind up before it is cancelled after all."""
_LEFT: Message = {"type": "http.disconnect"}


class Departure:
    """ASGI: a cancelled request becomes a client that left."""

    def __init__(self, app: ASGIApp, grace_seconds: float = _GRACE_SECONDS) -> None:
        self._app = app
        self._grace_seconds = grace_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        left = asyncio.get_running_loop().create_future()
        work = asyncio.ensure_future(self._app(scope, _until(left, receive), send))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            left.set_result(None)
            await self._wind_up(work)
            raise

    async def _wind_up(self, work: asyncio.Future[None]) -> None:
        await asyncio.wait({work}, timeout=self._grace_seconds)
        if not work.done():
            work.cancel()
        elif not work.cancelled():
            work.exception()  # nobody is left to be told


def _until(left: asyncio.Future[None], receive: Receive) -> Receive:
    """Return a `receive` that says that the client left as soon as `left` is done."""

    async def told() -> Message:
        message = asyncio.ensure_future(receive())
        try:
            pending: set[asyncio.Future[Any]] = {message, left}
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            return message.result() if message.done() else _LEFT
        finally:
            message.cancel()

    return told

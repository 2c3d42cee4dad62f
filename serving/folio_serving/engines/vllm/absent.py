"""The engine says only that a model does not exist; of an adapter that failed to load, this says why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Reasons = Callable[[], Mapping[str, str]]
"""Why each missing adapter is missing, by its name."""


class AbsentAdapters:
    """ASGI: puts the reason into the 404 of an adapter that is wanted but not loaded."""

    def __init__(self, app: ASGIApp, reasons: Reasons) -> None:
        self._app = app
        self._reasons = reasons

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reasons = self._reasons() if scope["type"] == "http" else {}
        if not reasons:
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def explain(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 404:
                held.append(message)
            elif not held:
                await send(message)
            else:
                held.append(message)
                if not message.get("more_body", False):
                    await _send_explained(held, reasons, send)

        await self._app(scope, receive, explain)


async def _send_explained(held: list[Message], reasons: Mapping[str, str], send: Send) -> None:
    start, *parts = held
    body = explained(b"".join(part.get("body", b"") for part in parts), reasons)
    headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    await send({**start, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def explained(body: bytes, reasons: Mapping[str, str]) -> bytes:
    """Return the engine's error with the reason of the adapter that it names."""
    try:
        answer: Any = orjson.loads(body)
        message = answer["error"]["message"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body
    reason = next((why for name, why in reasons.items() if f"`{name}`" in message), None)
    if reason is None:
        return body
    error = {**answer["error"], "message": f"{message} Its adapter could not be loaded: {reason}"}
    return orjson.dumps({**answer, "error": error})

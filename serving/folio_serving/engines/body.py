"""A request's body, as every engine's application reads it."""

from __future__ import annotations

from starlette.types import Receive


async def whole_body(receive: Receive) -> bytes | None:
    """Return the body; None when the client left before it was whole."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)

"""Plays an ASGI server by hand: one request in, the messages out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass
class Played:
    messages: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])


async def play(
    app: ASGIApp, *, path: str = "/", headers: dict[str, str] | None = None, body: bytes = b"", **scope: Any
) -> Played:
    incoming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    played = Played()

    async def receive() -> Message:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        played.messages.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    await app({"type": "http", "method": "POST", "path": path, "headers": raw, **scope}, receive, send)
    return played


@dataclass
class FakeEngine:
    """An engine's app: answers with fixed parts and keeps what it was asked."""

    parts: Iterable[bytes]
    content_type: str = "application/json"
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    afterwards: list[Message] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append((await receive())["body"])
        parts = list(self.parts)
        headers = [(b"content-type", self.content_type.encode())]
        if self.content_type == "application/json":
            headers.append((b"content-length", b"%d" % sum(map(len, parts))))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for index, part in enumerate(parts):
            await send({"type": "http.response.body", "body": part, "more_body": index < len(parts) - 1})
        self.afterwards.append(await receive())

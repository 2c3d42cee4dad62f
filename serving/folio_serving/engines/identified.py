"""Says in every answer which model it is of: during an update old and new replicas answer under one name, and
what is known of one version (calibrations, its canary) holds for no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from folio_serving.confidence import IDENTITY_HEADER, MODEL_HEADER

_IDENTITY, _MODEL = IDENTITY_HEADER.encode(), MODEL_HEADER.encode()


def _no_adapters() -> Mapping[str, str]:
    return {}


class Identified:
    """ASGI: adds the identity of the model that the request's header names: an adapter's, or our own."""

    def __init__(
        self, app: ASGIApp, own: str, adapters: Callable[[], Mapping[str, str]] = _no_adapters
    ) -> None:
        self._app = app
        self._own = own
        self._adapters = adapters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Known before the work begins: an adapter that is replaced meanwhile does not finish this answer.
        model = next((value for name, value in scope["headers"] if name == _MODEL), b"").decode("latin-1")
        identity = self._adapters().get(model, self._own).encode()

        async def said(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (_IDENTITY, identity)]}
            await send(message)

        await self._app(scope, receive, said)

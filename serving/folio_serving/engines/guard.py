"""A model application answers nobody but the gateway: without the internal token every path is a bare 404.

It is the outermost wrapper of every engine's app, so it holds on the public port and on the replica's own.
Only `/-/healthz` and `/-/routes` are answered before it, by Serve itself: they tell the application's name.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from folio_api.spec import INTERNAL_TOKEN_FILE

SECRETS_DIR = "FOLIO_SECRETS_DIR"
DEFAULT_SECRETS_DIR = "/etc/folio/secrets"
TOKEN_HEADER = b"x-folio-token"
_BARE = [(b"content-length", b"0")]


class TokenFile:
    """The portfolio's internal token, read again whenever its file changes. No file: nobody passes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._signature: tuple[int, int, int] | None = None
        self._token = b""

    @classmethod
    def of_environment(cls) -> TokenFile:
        return cls(Path(os.environ.get(SECRETS_DIR, DEFAULT_SECRETS_DIR)) / INTERNAL_TOKEN_FILE)

    def token(self) -> bytes:
        try:
            status = self._path.stat()
            signature = (status.st_mtime_ns, status.st_size, status.st_ino)
            if signature != self._signature:
                self._token, self._signature = self._path.read_bytes().strip(), signature
        except OSError:
            self._token, self._signature = b"", None
        return self._token


class Guard:
    """ASGI: lets through what carries the token, and the lifespan."""

    def __init__(self, app: ASGIApp, token: TokenFile) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._admits(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await send({"type": "http.response.start", "status": 404, "headers": _BARE})
            await send({"type": "http.response.body", "body": b""})

    def _admits(self, scope: Scope) -> bool:
        expected = self._token.token()
        given = next((value for name, value in scope["headers"] if name == TOKEN_HEADER), b"")
        return bool(expected) and hmac.compare_digest(given, expected)

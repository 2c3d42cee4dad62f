"""One small HTTP server on the loopback address, that answers as each test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Played:
    """What the server answers by method and path, and what it was asked."""

    port: int = 0
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    """Another path is a 404."""
    key: str = ""
    """Who does not show it as a bearer token is a 401; empty: everybody may ask."""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, Any]:
        self.asked.append((method, path, headers))
        found = self.answers.get(f"{method} {path}", (404, None))
        is_known = not self.key or headers.get("authorization") == f"Bearer {self.key}"
        return found if is_known or found[0] == 404 else (401, None)


@pytest.fixture
def played() -> Iterator[Played]:
    one = Played()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, content = one.answer(self.command, self.path, headers)
            body = json.dumps(content).encode() if content is not None else b""
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def do_POST(self) -> None:
            self.do_PUT()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield one
    server.shutdown()
    server.server_close()

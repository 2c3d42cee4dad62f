"""/healthz, /readyz and /metrics, from a thread of their own: a stuck loop must be seen from outside it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEAT_SECONDS = 1.0
OLDEST_BEAT_SECONDS = 60.0


@dataclass
class Heartbeat:
    """Proof that the main loop turns."""

    clock: Callable[[], float] = time.monotonic
    _last: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._last = self.clock()

    def beat(self) -> None:
        self._last = self.clock()

    @property
    def is_fresh(self) -> bool:
        return self.clock() - self._last < OLDEST_BEAT_SECONDS

    async def run(self) -> None:
        while True:
            self.beat()
            await asyncio.sleep(BEAT_SECONDS)


@dataclass(frozen=True)
class Health:
    """What the probes ask."""

    heartbeat: Heartbeat
    watches_are_stuck: Callable[[], bool]
    page: Callable[[], bytes]

    def answer(self, path: str) -> tuple[int, bytes]:
        if path == "/metrics":
            return 200, self.page()
        if path == "/healthz":
            return self._healthz()
        if path == "/readyz":
            return 200, b"ready\n"  # a standby too: whoever answers can take over
        return 404, b"there is /healthz, /readyz and /metrics\n"

    def _healthz(self) -> tuple[int, bytes]:
        if not self.heartbeat.is_fresh:
            return 503, b"the main loop stands still\n"
        if self.watches_are_stuck():
            return 503, b"the watches show less than lists do\n"
        return 200, b"ok\n"


def serve(health: Health, host: str, port: int) -> ThreadingHTTPServer:
    """Start answering; the caller shuts it down."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = health.answer(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes are no news."""

    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server

"""Our HAProxy tells the server of a client that left, whichever way its request came in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import folio_serving
from folio_cli.local import ports

HAPROXY = Path(folio_serving.__file__).with_name("haproxy.sh")
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
"""As Ray's processes have it: our interpreter comes first."""
CONFIG = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option abortonclose
    option splice-request
frontend front
    bind 127.0.0.1:{front}
    default_backend back
backend back
    server only 127.0.0.1:{back}
"""
BODY = b'{"model": "folio"}'
HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(BODY)


class Server:
    """Takes requests, answers none, and knows of each whether its client is still there."""

    def __init__(self) -> None:
        self.here = 0
        self.come = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(BODY)
            self.here, self.come = self.here + 1, self.come + 1
            try:
                await reader.read()
            finally:
                self.here -= 1
        writer.close()

    async def until(self, *, come: int, here: int) -> None:
        async with asyncio.timeout(5):
            while (self.come, self.here) != (come, here):  # noqa: ASYNC110 - two counters, few waits
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def proxied(server: Server, folder: Path) -> AsyncIterator[int]:
    front = ports.choose(0).http
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        back = listening.sockets[0].getsockname()[1]
        config = folder / "haproxy.cfg"
        config.write_text(CONFIG.format(front=front, back=back))
        process = await asyncio.create_subprocess_exec(HAPROXY, "-db", "-f", config, env=ENVIRONMENT)
        try:
            yield front
        finally:
            process.kill()
            await process.wait()


async def connected(port: int) -> asyncio.StreamWriter:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(ConnectionError):
                return (await asyncio.open_connection("127.0.0.1", port))[1]
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("parts", [[HEAD + BODY], [HEAD, BODY]], ids=["in one piece", "head, then body"])
async def test_who_leaves_before_the_answer_is_noticed(tmp_path: Path, parts: list[bytes]) -> None:
    server = Server()
    async with proxied(server, tmp_path) as port:
        for count in range(1, 9):
            client = await connected(port)
            for part in parts:
                client.write(part)
                await client.drain()
                await asyncio.sleep(0.02)
            await server.until(come=count, here=1)
            client.close()
            await server.until(come=count, here=0)

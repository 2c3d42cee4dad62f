"""Clients that leave a portfolio, at its public port: whatever they wait for, vLLM soon has nothing to do for them.

They leave as clients do: by closing a bare socket, and by cancelling what awaits an answer of httpx.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from tests.data_plane.engine import Engine, Load, idle
from tests.data_plane.portfolio.conftest import MODELS, START_SECONDS, Running
from tests.data_plane.portfolio.load import PATH, Asked

LEFT_SECONDS = 1.0
"""Measured on two quiet cores: 0.01 to 0.21 s."""
AT_ONCE = 4
"""What the engine runs at once (max_num_seqs); more wait in the gateway."""
SEEN = AT_ONCE - 1
"""What it may run at once while its own figures are read."""
LONG = 1800
WORKS, STREAMS = Asked("writer", "go on", max_tokens=LONG), Asked("writer", "go on", True, LONG)
DOZES = (Asked("folio/doze", "doze on", max_tokens=LONG), Asked("folio", "doze on", True, LONG))


@dataclass
class Client:
    """One request of one client, under way until it leaves."""

    http: httpx.AsyncClient
    """One client of httpx for all: its pool must let go of each connection by itself."""
    asked: Asked
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once some of the answer has come."""

    async def by_socket(self) -> None:
        reader, writer = await asyncio.open_connection(self.http.base_url.host, self.http.base_url.port)
        body = json.dumps(self.asked.body()).encode()
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        try:
            writer.write(head.encode() + b"\r\n\r\n" + body)
            while await reader.read(1 << 16):
                self.heard.set()
        finally:
            writer.close()

    async def by_httpx(self) -> None:
        async with self.http.stream("POST", PATH, json=self.asked.body()) as answer:
            async for _ in answer.aiter_bytes():
                self.heard.set()


Way = Callable[[Client], Awaitable[None]]
ways = pytest.mark.parametrize("way", [Client.by_socket, Client.by_httpx], ids=["socket", "httpx"])


@dataclass
class Crowd:
    """Clients that wait for the same portfolio, and the engine that works for them."""

    http: httpx.AsyncClient
    engine: Engine
    before: Load
    """What the engine had done before they came."""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def come(self, way: Way, *asked: Asked) -> list[Client]:
        clients = [Client(self.http, each) for each in asked]
        self.tasks += [asyncio.ensure_future(way(client)) for client in clients]
        return clients

    async def leave(self, last: int | None = None) -> None:
        """Have them all leave at the same moment, or only the last to come."""
        leaving = self.tasks[-last:] if last else list(self.tasks)
        for task in leaving:
            assert not task.done(), "it was answered, or refused, before it left"
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        self.tasks = [task for task in self.tasks if task not in leaving]

    async def end(self, what: str) -> None:
        """Have all leave; the engine must have nothing left to do, and must not work on."""
        began = time.monotonic()
        await self.leave()
        after = await self.engine.until(idle, LEFT_SECONDS)
        print(f"{what}: vLLM was idle {time.monotonic() - began:.2f} s after its clients began to leave")
        await asyncio.sleep(0.5)
        later = await self.engine.load()
        assert (later.tokens, later.finished) == (after.tokens, self.before.finished)

    async def waiting(self) -> int:
        """Return how many the gateway says wait for the model."""
        metrics = (await self.http.get("/metrics")).text
        found = re.search(r'^folio_queue{model="writer"} ([\d.]+)$', metrics, re.MULTILINE)
        assert found is not None
        return int(float(found[1]))

    async def until_waiting(self, count: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (seen := await self.waiting()) != count:
            assert time.monotonic() < deadline, f"{seen} wait for the model, not {count}"
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def engine_of(portfolio: Running, model: str) -> AsyncIterator[Engine]:
    (url,) = await asyncio.to_thread(portfolio.cluster.replica_urls, f"model-{model}")
    async with httpx.AsyncClient(base_url=url, headers=portfolio.cluster.token_header, timeout=30) as client:
        yield Engine(client)


@pytest.fixture
async def crowd(portfolio: Running) -> AsyncIterator[Crowd]:
    async with portfolio.http() as http, engine_of(portfolio, "writer") as engine:
        crowd = Crowd(http, engine, await engine.until(idle, 30))
        yield crowd
        for task in crowd.tasks:
            task.cancel()
        await asyncio.gather(*crowd.tasks, return_exceptions=True)


async def all_heard(clients: list[Client]) -> None:
    async with asyncio.timeout(20):
        await asyncio.gather(*(client.heard.wait() for client in clients))


@ways
async def test_who_leaves_a_working_rung_ends_its_work(crowd: Crowd, way: Way) -> None:
    crowd.come(way, *[WORKS] * SEEN)
    await crowd.engine.until(lambda load: load.running == SEEN, 20)
    await crowd.end("a buffered rung")


@ways
async def test_who_leaves_a_stream_ends_its_work(crowd: Crowd, way: Way) -> None:
    await all_heard(crowd.come(way, *[STREAMS] * SEEN))
    await crowd.end("a streaming rung")


@ways
async def test_who_leaves_the_queue_never_reaches_the_engine(crowd: Crowd, way: Way) -> None:
    await all_heard(crowd.come(way, *[STREAMS] * AT_ONCE))
    crowd.come(way, WORKS, STREAMS, WORKS, STREAMS)
    await crowd.until_waiting(4, 10)
    began = time.monotonic()
    await crowd.leave(last=4)
    await crowd.until_waiting(0, LEFT_SECONDS)
    print(f"the queue: empty {time.monotonic() - began:.2f} s after its clients began to leave")
    await crowd.end("those before the queue")


@pytest.fixture
def revision_with_sleeper(portfolio: Running) -> Iterator[str]:
    """A portfolio with one more model like the writer, which sleeps until somebody asks for it."""
    revision = portfolio.apply(with_sleeper=True)
    portfolio.wait(revision, seconds=60)
    yield revision
    portfolio.wait(portfolio.apply(), *MODELS, seconds=60)


async def test_who_leaves_while_a_model_wakes_leaves_it_nothing_to_do(
    portfolio: Running, revision_with_sleeper: str, crowd: Crowd
) -> None:
    crowd.come(Client.by_socket, DOZES[0])
    crowd.come(Client.by_httpx, *DOZES)
    await crowd.engine.until(lambda load: load.running == SEEN, 20)  # the next rung works meanwhile
    await crowd.end("a waking rung, where the next one worked")
    named = await crowd.http.post(PATH, json=Asked("sleeper", "doze on").body())
    assert (named.status_code, named.json()["error"]["code"]) == (503, "Waking")  # nobody waits for it
    await asyncio.to_thread(portfolio.wait, revision_with_sleeper, "sleeper", seconds=START_SECONDS)
    async with engine_of(portfolio, "sleeper") as awake:
        load = await awake.load()
    assert idle(load)
    assert 0 < load.tokens < LONG / 100, "canaries ask for one token each; those who left asked for many"

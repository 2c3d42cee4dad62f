"""Where a model is asked: its replicas, or a provider outside; connections, in-flight counts, and a queue
with an end.

A replica is picked by power of two choices on the gateway's own counts. A request is sent a second time only
when it was not sent (no connection) or not taken (a 503 before anything else).
"""

from __future__ import annotations

import asyncio
import math
import random
import ssl
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from folio_serving.http1 import ConnectError, Connection, IdleConnections, connect
from folio_serving.replicas import Address

REPLICA_IDLE_SECONDS = 60.0
PROVIDER_IDLE_SECONDS = 4.0
"""Many servers close a connection that was idle for 5 s."""
SHUN_SECONDS = 1.0
"""How long a replica that refused a connection is asked last."""
MAX_TRIES = 3
LINGER_SECONDS = 60.0
"""How long the last replicas of a model are asked on after Serve stopped naming them: it does not name one
that takes a new configuration, though it answers all the while. One that is dead refuses the connection."""


class QueueFullError(Exception):
    """As many wait for the model as may."""


class NoReplicaError(Exception):
    """The model has no replica now."""


@dataclass(slots=True, eq=False)
class Endpoint:
    """One place that answers, and how busy we keep it."""

    address: Address
    idle: IdleConnections
    tls: ssl.SSLContext | None = None
    in_flight: int = 0
    shunned_until: float = 0.0
    lingers_until: float = math.inf

    async def connection(self) -> Connection:
        connection = self.idle.take()
        return connection or await connect(self.address.host, self.address.port, tls=self.tls)


class Lease:
    """One request's place at one endpoint. Ends with `release`, whatever became of the request."""

    __slots__ = ("_pool", "connection", "endpoint")

    def __init__(self, pool: Pool, endpoint: Endpoint, connection: Connection) -> None:
        self._pool = pool
        self.endpoint = endpoint
        self.connection = connection

    def release(self) -> None:
        """Give the connection back, or end it where the answer is not complete: that cancels the work behind
        it.
        """
        self.endpoint.idle.give(self.connection)
        self._pool.leave(self.endpoint)


class Pool:
    """All endpoints of one application or provider."""

    def __init__(self, *, max_ongoing: int, max_queued: int, tls: ssl.SSLContext | None = None) -> None:
        self.lingers = False
        """Whether replicas that are named no more are asked on for a while, when they are the last."""
        self.max_ongoing = max_ongoing
        self.max_queued = max_queued
        self._tls = tls
        self._endpoints: dict[Address, Endpoint] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def addresses(self) -> tuple[Address, ...]:
        now = time.monotonic()
        for one in [one for one in self._endpoints.values() if one.lingers_until < now]:
            self._drop(one.address)
        return tuple(self._endpoints)

    @property
    def in_flight(self) -> int:
        return sum(endpoint.in_flight for endpoint in self._endpoints.values())

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def update(self, addresses: Iterable[Address], idle_seconds: float = REPLICA_IDLE_SECONDS) -> None:
        """Make these the endpoints. What still runs at another one may end there."""
        wanted = tuple(addresses)
        if self.lingers and not wanted:
            self._linger()
            return
        for gone in self._endpoints.keys() - set(wanted):
            self._drop(gone)
        for address in wanted:
            if address not in self._endpoints:
                self._endpoints[address] = Endpoint(address, IdleConnections(idle_seconds), self._tls)
            self._endpoints[address].lingers_until = math.inf
        for _ in range(len(self._waiting)):
            self._wake_one()

    def close(self) -> None:
        self.lingers = False
        self.update(())

    def _linger(self) -> None:
        until = time.monotonic() + LINGER_SECONDS
        for endpoint in self._endpoints.values():
            endpoint.lingers_until = min(endpoint.lingers_until, until)

    def _drop(self, address: Address) -> None:
        endpoint = self._endpoints.pop(address, None)
        if endpoint is not None:
            endpoint.idle.close()
        if not self._endpoints:
            for _ in range(len(self._waiting)):
                self._wake_one()

    async def lease(self, avoid: Endpoint | None = None) -> Lease:
        """Return a place at an endpoint, with a connection to it; waits in line where all are busy."""
        error: ConnectError | None = None
        for _ in range(MAX_TRIES):
            endpoint = await self._enter(avoid)
            try:
                return Lease(self, endpoint, await endpoint.connection())
            except ConnectError as refused:
                endpoint.shunned_until = time.monotonic() + SHUN_SECONDS
                self.leave(endpoint)
                if endpoint.lingers_until < math.inf:
                    self._drop(endpoint.address)
                error, avoid = refused, endpoint
            except BaseException:
                self.leave(endpoint)
                raise
        raise error or ConnectError("no endpoint took the connection")

    def leave(self, endpoint: Endpoint) -> None:
        endpoint.in_flight -= 1
        self._wake_one()

    async def _enter(self, avoid: Endpoint | None) -> Endpoint:
        if self._waiting:
            await self._queue()
        while (endpoint := self._pick(avoid)) is None:
            if not self._endpoints:
                raise NoReplicaError
            await self._queue()
        endpoint.in_flight += 1
        return endpoint

    def _pick(self, avoid: Endpoint | None) -> Endpoint | None:
        free = [one for one in self._endpoints.values() if one.in_flight < self.max_ongoing]
        if len(free) > 1:
            now = time.monotonic()
            free = [one for one in free if one is not avoid and one.shunned_until < now] or free
        if len(free) <= 1:
            return free[0] if free else None
        one, other = random.sample(free, 2)
        return one if one.in_flight <= other.in_flight else other

    async def _queue(self) -> None:
        if len(self._waiting) >= self.max_queued:
            raise QueueFullError
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._wake_one()  # the turn came while its owner left: the next one's
            raise
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _wake_one(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

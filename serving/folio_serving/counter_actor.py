"""The counter of a portfolio's budgets as one named Ray actor, which every gateway replica finds or starts.

It keeps a copy of its book in Ray's own key-value store, in which Serve's controller keeps its state too:
in the head's memory, and in Redis where the portfolio has one. So it survives its own process always, and
the head where there is a Redis.

It lives where gateways live: on the head it would go with the head, while all gateways go on.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

import orjson
import ray
from ray.experimental import internal_kv
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from folio_api.spec import POOL_MARKER
from folio_serving.budget import Book, Grant, Report

SAVE_SECONDS = 1.0
NAMESPACE = "folio"
_KEY_VALUES = b"folio"

log = logging.getLogger("folio.counter")


class BookKeeper:
    """What runs in the actor: one book, asked by all replicas, saved once a second."""

    def __init__(self, name: str) -> None:
        self._key = f"book:{name}".encode()
        self._book = _restored(internal_kv._internal_kv_get(self._key, namespace=_KEY_VALUES))  # noqa: SLF001
        self._lock = threading.Lock()
        self._changed = threading.Event()
        threading.Thread(target=self._save_for_ever, name="save", daemon=True).start()

    def exchange(self, replica: str, reports: tuple[Report, ...]) -> tuple[Grant, ...]:
        with self._lock:
            grants = self._book.exchange(replica, reports, time.time())
        self._changed.set()
        return grants

    def _save_for_ever(self) -> None:
        """Save beside the answers: a head that is away must not keep anybody waiting."""
        while True:
            self._changed.wait()
            self._changed.clear()
            try:
                self._save()
            except Exception as error:  # noqa: BLE001 - whatever Ray raises: the next second tries again
                log.warning("the budgets were not saved: %r", error)
                self._changed.set()
            time.sleep(SAVE_SECONDS)

    def _save(self) -> None:
        with self._lock:
            self._book.drop_ended(time.time())
            content = self._book.content()
        internal_kv._internal_kv_put(self._key, orjson.dumps(content), namespace=_KEY_VALUES)  # noqa: SLF001


def _restored(saved: bytes | None) -> Book:
    if saved is None:
        return Book()
    try:
        return Book.restored(orjson.loads(saved))
    except (ValueError, TypeError) as error:
        log.warning("the saved budgets cannot be read, so that they begin anew: %r", error)
        return Book()


class ActorCounter:
    """The actor as a replica asks it; started by whoever is first, beside it, and by Ray where it is gone."""

    def __init__(self, portfolio: str, namespace: str) -> None:
        self._name = f"{namespace}/{portfolio}"
        self._actor: Any = None
        self._finding: asyncio.Future[Any] | None = None

    async def exchange(self, replica: str, reports: tuple[Report, ...]) -> tuple[Grant, ...]:
        if self._actor is None:
            self._actor = await self._found_soon()
        try:
            grants: tuple[Grant, ...] = await self._actor.exchange.remote(replica, reports)
        except ray.exceptions.ActorUnavailableError:
            raise  # Ray is starting it again under the same handle
        except ray.exceptions.RayActorError:
            self._actor = None
            raise
        return grants

    async def _found_soon(self) -> Any:
        """Look in a thread: it blocks on the head for some milliseconds, and for long when that is away.

        Who gives up waiting leaves the thread behind, and the next one waits for the same: there are only a
        few, in which names of hosts are looked up too.
        """
        if self._finding is None or self._finding.done():
            self._finding = asyncio.get_running_loop().run_in_executor(None, self._found)
        return await asyncio.shield(self._finding)

    def _found(self) -> Any:
        here = ray.get_runtime_context()
        actor = ray.remote(BookKeeper).options(
            name=self._name,
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            max_restarts=-1,
            num_cpus=0,
            resources=markers(here.get_assigned_resources()),
            scheduling_strategy=NodeAffinitySchedulingStrategy(here.get_node_id(), soft=True),
        )
        return actor.remote(self._name)


def markers(assigned: Mapping[str, float]) -> dict[str, float]:
    """Return a replica's part of its pool's marker: whoever takes as much stays on workers of that pool."""
    return {name: share for name, share in assigned.items() if name.startswith(POOL_MARKER)}

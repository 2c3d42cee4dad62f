"""How far replicas are that fetch their model's files.

Serve tells nothing of a replica until its constructor is done, so each one that downloads puts up a notice:
a small named Ray actor of its own.

The actor belongs to its replica and goes with it, however that ends: what is told is never of one that died.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import ray
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from folio_serving.counter_actor import NAMESPACE
from folio_serving.replicas import Download

PREFIX = "download"
TELL_SECONDS = 1.0
LEAVE_SECONDS = 2.0
"""How long the end of a download waits for its notice to be taken down."""

BOARD_SECONDS = 0.5
"""How long one board is waited for: others have something to tell where a node is out of reach."""


class Board:
    """What runs in the actor."""

    def __init__(self, source: str) -> None:
        self._told = Download(source)

    def tell(self, done: int, total: int) -> None:
        self._told = Download(self._told.source, done, total)

    def told(self) -> Download:
        return self._told


class Notice:
    """What one replica puts up as soon as it fetches anything, and takes down at the end."""

    def __init__(self, application: str, replica: str, source: str) -> None:
        self._name = f"{PREFIX}/{application}/{replica}"
        self._source = source
        self._latest = (0, 0)
        self._ended = threading.Event()
        self._telling: threading.Thread | None = None

    def tell(self, done: int, total: int) -> None:
        """Note it, from any thread; once a second what is new is told."""
        self._latest = (done, total)
        if self._telling is None:
            self._telling = threading.Thread(target=self._keep_telling, name="notice", daemon=True)
            self._telling.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._telling is not None:
            self._telling.join(LEAVE_SECONDS)

    def _keep_telling(self) -> None:
        """Beside the download: trouble here is none of its."""
        board, told = self._put_up(), (-1, -1)
        while not self._ended.wait(TELL_SECONDS if told >= (0, 0) else 0.0):
            if told != self._latest:
                told = self._latest
                board.tell.remote(*told)
        ray.kill(board)

    def _put_up(self) -> Any:
        node = ray.get_runtime_context().get_node_id()
        return (
            ray.remote(Board)
            .options(
                name=self._name,
                namespace=NAMESPACE,
                num_cpus=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
            )
            .remote(self._source)
        )


class Boards:
    """Reads what replicas put up, for whoever asks; a head that is away keeps nobody waiting twice."""

    def __init__(self, find: Callable[[], dict[str, Any]] | None = None) -> None:
        self._find = find or _boards
        self._finding: asyncio.Future[dict[str, Any]] | None = None

    async def read(self) -> Mapping[str, Download]:
        """Return by application what its replica that has most before it tells."""
        if self._finding is None or self._finding.done():
            # Blocks on the head for some milliseconds, and for long when it is away.
            self._finding = asyncio.get_running_loop().run_in_executor(None, self._find)
        found = await asyncio.shield(self._finding)
        told = await asyncio.gather(
            *(asyncio.wait_for(board.told.remote(), BOARD_SECONDS) for board in found.values()),
            return_exceptions=True,
        )
        return _least(zip(found, told, strict=True))


def _boards() -> dict[str, Any]:
    boards = {}
    for each in list_named_actors(all_namespaces=True):
        if each["namespace"] == NAMESPACE and each["name"].startswith(f"{PREFIX}/"):
            with contextlib.suppress(ValueError):  # gone since
                boards[each["name"]] = ray.get_actor(each["name"], namespace=NAMESPACE)
    return boards


def _least(told: Iterable[tuple[str, Download | BaseException]]) -> dict[str, Download]:
    least: dict[str, Download] = {}
    for name, each in told:
        application = name.split("/")[1]
        if isinstance(each, Download) and (application not in least or each.left > least[application].left):
            least[application] = each
    return least

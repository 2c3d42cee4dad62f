"""Which replicas an application has and where they listen. The one module that touches Ray's private API
(2.60.0).

Serve's controller pushes every change of an application's running replicas to whoever asks (its long poll);
the same push that Serve's own routers live on. Nothing on the request's path ever talks to Ray.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from folio_api.spec import MODEL_DEPLOYMENT

SUPERVISE_SECONDS = 2.0
POLL_SECONDS = 0.05
LOOPBACK = "127.0.0.1"

log = logging.getLogger("folio.replicas")


@dataclass(frozen=True, slots=True)
class Address:
    """One replica that takes requests. `replica` is unique over time, a port is not."""

    replica: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Download:
    """How far a replica is that fetches its model's files."""

    source: str
    done: int = 0
    total: int = 0

    @property
    def left(self) -> int:
        return self.total - self.done


Listener = Callable[[str, tuple[Address, ...]], None]
"""Called with an application and all of its replicas, on every change."""


class Replicas(Protocol):
    """Where applications answer."""

    def watch(self, applications: Iterable[str]) -> None:
        """Make these the applications that are listened to; the others are forgotten."""

    async def wake(self, application: str) -> None:
        """Ask for a replica of an application that has none, and return when there is one."""

    async def downloads(self) -> Mapping[str, Download]:
        """Return, by application, how far its replicas are that fetch files."""

    def close(self) -> None: ...


class StaticReplicas:
    """Fixed addresses: a gateway without Ray."""

    def __init__(self, addresses: Mapping[str, tuple[Address, ...]], listener: Listener) -> None:
        self._addresses = dict(addresses)
        self._listener = listener
        self.fetching: dict[str, Download] = {}

    def watch(self, applications: Iterable[str]) -> None:
        for application in applications:
            self._listener(application, self._addresses.get(application, ()))

    def put(self, application: str, *addresses: Address) -> None:
        self._addresses[application] = addresses
        self._listener(application, addresses)

    async def wake(self, application: str) -> None:
        while not self._addresses.get(application):  # noqa: ASYNC110 - nobody else tells
            await asyncio.sleep(POLL_SECONDS)

    async def downloads(self) -> Mapping[str, Download]:
        return self.fetching

    def close(self) -> None: ...


class ServeReplicas:
    """Addresses as Serve's controller publishes them. Made within a replica, on its event loop."""

    def __init__(self, listener: Listener, deployments: Mapping[str, str] | None = None) -> None:
        self._listener = listener
        self._deployments = dict(deployments or {})
        """Deployment names of applications that do not use a model's."""
        self._clients: dict[str, Any] = {}
        self._own_node = own_node()
        self._supervisor: asyncio.Task[None] | None = None
        self._boards: Any = None

    def watch(self, applications: Iterable[str]) -> None:
        wanted = set(applications)
        for gone in self._clients.keys() - wanted:
            self._clients.pop(gone).stop()
            self._listener(gone, ())
        for new in wanted - self._clients.keys():
            self._clients[new] = self._subscribe(new)
        if self._supervisor is None:
            self._supervisor = asyncio.get_running_loop().create_task(self._supervise())

    async def wake(self, application: str) -> None:
        from ray import serve  # noqa: PLC0415 - the gateway also runs without Ray

        handle = serve.get_deployment_handle(
            self._deployment(application), app_name=application, _check_exists=False
        )
        # Only a reservation counts as demand: `_reserve=False` waits for a replica that nobody then starts.
        async with handle.choose_replica():
            pass

    async def downloads(self) -> Mapping[str, Download]:
        from folio_serving.downloads import Boards  # noqa: PLC0415 - the gateway also runs without Ray

        if self._boards is None:
            self._boards = Boards()
        found: Mapping[str, Download] = await self._boards.read()
        return found

    def close(self) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
        for client in self._clients.values():
            client.stop()
        self._clients.clear()

    def _deployment(self, application: str) -> str:
        return self._deployments.get(application, MODEL_DEPLOYMENT)

    def _subscribe(self, application: str) -> Any:
        from ray.serve._private.common import DeploymentID  # noqa: PLC0415
        from ray.serve._private.long_poll import LongPollClient, LongPollNamespace  # noqa: PLC0415
        from ray.serve.context import _get_global_client  # noqa: PLC0415

        client = _get_global_client()
        assert client is not None, "replicas are watched from within Serve"
        deployment = DeploymentID(name=self._deployment(application), app_name=application)
        heard = {
            (LongPollNamespace.DEPLOYMENT_TARGETS, deployment): lambda info: self._heard(application, info)
        }
        return LongPollClient(
            client._controller,  # noqa: SLF001
            heard,
            asyncio.get_running_loop(),
            client_id=f"folio:{application}",
        )

    def _heard(self, application: str, info: Any) -> None:
        if application not in self._clients:
            return
        addresses = (address_of(replica, self._own_node) for replica in info.running_replicas)
        self._listener(application, tuple(address for address in addresses if address is not None))

    async def _supervise(self) -> None:
        """Subscribe again where a client gave up: it does when the controller's process dies."""
        while True:
            await asyncio.sleep(SUPERVISE_SECONDS)
            for application, client in list(self._clients.items()):
                if not client.is_running:
                    log.warning("the subscription to %s ended; subscribing again", application)
                    with contextlib.suppress(Exception):
                        self._clients[application] = self._subscribe(application)


def address_of(replica: Any, own_node: str) -> Address | None:
    """Return where a running replica listens; None for one without an HTTP port.

    On our own node that is the loopback address, whatever Serve's http_options.host is.
    """
    if replica.backend_http_port is None:
        return None
    host = LOOPBACK if replica.node_id == own_node else replica.node_ip
    return Address(replica.replica_id.unique_id, host, replica.backend_http_port)


def own_node() -> str:
    import ray  # noqa: PLC0415

    return str(ray.get_runtime_context().get_node_id())


def own_replica() -> str:
    """Return the id of the Serve replica that this process is."""
    from ray import serve  # noqa: PLC0415

    return str(serve.get_replica_context().replica_id.unique_id)


def haproxy_error_file() -> Path:
    """Return the file from which HAProxy on this node answers when it has nobody to ask."""
    from ray.serve._private.constants import RAY_SERVE_HAPROXY_CONFIG_FILE_LOC  # noqa: PLC0415

    return Path(RAY_SERVE_HAPROXY_CONFIG_FILE_LOC).parent / own_node() / "500.http"

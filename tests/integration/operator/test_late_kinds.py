"""An operator confined to one namespace, on kopf's real loop, when a kind comes after its start."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kopf
import pytest
from aiohttp import web
from kubernetes.aio import client
from kubernetes.config import kube_config

from folio_api.meta import Key
from folio_operator import handlers
from folio_operator.cluster import PORTFOLIO, RAY_SERVICE, WATCHED, Body, Kind
from folio_operator.credentials import Reader
from folio_operator.gather import Gatherer
from folio_operator.kube import KubeCluster
from folio_operator.late_kinds import LateKinds
from folio_operator.obstacles import Deaths
from folio_operator.store import Store
from folio_operator.work import Item

DESK = Key("bank", "desk")
LABELS = {"app.kubernetes.io/managed-by": "folio", "folio.dev/portfolio": "desk"}
NAMESPACE = Kind("v1", "Namespace", "namespaces")
"""kopf waits until it knows that kind, also where it must not ask for any."""
VERBS = ["list", "watch", "patch", "get"]


def ray_service(version: int) -> dict[str, Any]:
    metadata = {"name": "desk", "namespace": "bank", "uid": "u1", "resourceVersion": str(version), "labels": LABELS}  # fmt: skip
    return {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": metadata, "spec": {}}


@dataclass
class ApiServer:
    """Discovery, lists and watches of the kinds that it has."""

    kinds: set[Kind]
    objects: dict[Kind, list[Body]] = field(default_factory=lambda: defaultdict(list))
    watches: dict[str, asyncio.Queue[dict[str, Any]]] = field(
        default_factory=lambda: defaultdict(asyncio.Queue)
    )
    asked: list[str] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.asked.append(path)
        if path in ("/api", "/apis"):
            return web.json_response(self._groups(path))
        if found := [each for each in self.kinds if path == _discovery(each)]:
            return web.json_response({"resources": [_resource(each) for each in found]})
        plural = path.rpartition("/")[2]
        kind = next((each for each in self.kinds if each.plural == plural), None)
        if kind is None:
            return web.json_response({"message": "not found", "code": 404}, status=404)
        if "watch" in request.query:
            return await self._watch(request, plural)
        return web.json_response(
            {"metadata": {"resourceVersion": "1"}, "items": self.objects[kind], "kind": f"{kind.name}List"}
        )

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        while True:
            event = await self.watches[plural].get()
            await stream.write(json.dumps(event).encode() + b"\n")

    def _groups(self, path: str) -> dict[str, Any]:
        if path == "/api":
            return {"versions": ["v1"]}
        versions = {each.group: each.api_version for each in self.kinds if each.group}
        entries = [(group, {"groupVersion": version, "version": version.rpartition("/")[2]}) for group, version in versions.items()]  # fmt: skip
        return {"groups": [{"name": name, "versions": [one], "preferredVersion": one} for name, one in entries]}  # fmt: skip


def _discovery(kind: Kind) -> str:
    return f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"


def _resource(kind: Kind) -> dict[str, Any]:
    return {"name": kind.plural, "kind": kind.name, "namespaced": True, "verbs": VERBS, "singularName": ""}


@pytest.fixture
async def server(
    unused_tcp_port_factory: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ApiServer]:
    """An API server without KubeRay's kinds, which the kubeconfig names."""
    one = ApiServer({NAMESPACE, *(each for each in WATCHED if each.group != "ray.io")})
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", one.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    port = unused_tcp_port_factory()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    one.url = f"http://127.0.0.1:{port}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": one.url}}],
        "users": [{"name": "it", "user": {"token": "t"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    yield one
    await runner.cleanup()


@dataclass
class Running:
    """What the operator has seen so far."""

    store: Store
    queued: list[Item]
    looking: asyncio.Task[None]


@asynccontextmanager
async def operator(server: ApiServer) -> AsyncIterator[Running]:
    """Runs in the test's own task: at its end kopf cancels every task that is younger than itself."""
    store = Store()
    queued: list[Item] = []
    api = client.ApiClient(client.Configuration(host=server.url))
    cluster = KubeCluster(api, ("bank",))
    late = LateKinds(cluster, first_seconds=0.1, most_seconds=0.2)
    gatherer = Gatherer(store, Reader(cluster, lambda: 0.0))
    wiring = handlers.Wiring(store, gatherer, queued.append, Deaths(), lambda: 0.0)
    stop, ours = asyncio.Event(), asyncio.all_tasks()
    watching = await kopf.spawn_tasks(
        registry=handlers.build(wiring),
        settings=handlers.settings(namespaced=True),
        insights=late.insights,
        standalone=True,
        namespaces=["bank"],
        stop_flag=stop,
    )
    kopf_runs = asyncio.create_task(kopf.run_tasks(watching, ignored=ours))
    looking = asyncio.create_task(late.run())
    yield Running(store, queued, looking)
    looking.cancel()
    stop.set()
    await asyncio.wait([kopf_runs], timeout=10)
    await api.close()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 - what it looks at sends no events
            await asyncio.sleep(0.02)


async def test_a_kind_that_comes_late_is_watched_from_then_on(server: ApiServer):
    async with operator(server) as running:
        await _comes_late(server, running)


async def _comes_late(server: ApiServer, running: Running) -> None:
    await until(lambda: server.asked.count("/apis/ray.io/v1") >= 2)
    assert not [path for path in server.asked if path.endswith("rayservices")]

    server.objects[RAY_SERVICE].append(ray_service(5))
    server.kinds |= {each for each in WATCHED if each.group == "ray.io"}
    await until(lambda: running.store.get(RAY_SERVICE, DESK) is not None)

    await server.watches["rayservices"].put({"type": "MODIFIED", "object": ray_service(6)})
    await until(lambda: (running.store.get(RAY_SERVICE, DESK) or {})["metadata"]["resourceVersion"] == "6")
    assert Item(PORTFOLIO, DESK) in running.queued
    await until(running.looking.done)

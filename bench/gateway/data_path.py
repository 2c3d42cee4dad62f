"""The measurements behind docs/decisions/0020: how Ray Serve's replicas are found, woken and cancelled over
plain HTTP.

Run `python -m bench.gateway.data_path`; it starts a Ray of its own and prints one line per question.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from typing import Any

import aiohttp
import ray
from ray import serve
from ray.serve._private.common import DeploymentID
from ray.serve._private.long_poll import LongPollClient, LongPollNamespace
from ray.serve.context import _get_global_client
from tests.data_plane.cluster import Cluster, running_cluster

Scope = dict[str, Any]


class Slow:
    """A model application without a model: answers at once, or holds a request until it is cancelled."""

    def __init__(self) -> None:
        self.running = 0
        self.cancelled_at: list[float] = []

    def __serve_build_asgi_app__(self) -> Any:
        async def app(scope: Scope, receive: Any, send: Any) -> None:
            await self.answer(scope, receive, send)

        return app

    async def wake(self) -> str:
        return "awake"

    async def answer(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.lifespan(receive, send)
            return
        body = await self.body(scope["path"], send)
        if body is not None:
            await respond(send, body)

    async def lifespan(self, receive: Any, send: Any) -> None:
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})

    async def body(self, path: str, send: Any) -> bytes | None:
        if path == "/stats":
            stats = {"running": self.running, "cancelled_at": self.cancelled_at, "pid": os.getpid()}
            return json.dumps(stats).encode()
        if path in ("/hold", "/stream"):
            self.running += 1
            try:
                await (self.stream(send) if path == "/stream" else asyncio.sleep(60))
            except asyncio.CancelledError:
                self.cancelled_at.append(time.time())
                raise
            finally:
                self.running -= 1
            return b"held" if path == "/hold" else None
        return b'{"ok":true}'

    async def stream(self, send: Any) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )
        for _ in range(600):
            await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
            await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": b""})


async def respond(send: Any, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def deploy(name: str, **options: Any) -> None:
    deployment = serve.deployment(serve.ingress()(Slow))
    app = deployment.options(name="Model", ray_actor_options={"num_cpus": 0.1}, **options).bind()
    serve.run(app, name=name, route_prefix=None, blocking=False)


class Watcher:
    """What a gateway would hold: the long-poll client and, beside it, a handle."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[float, list[tuple[str, int]]]]] = {}

    async def watch(self, application: str) -> None:
        controller = _get_global_client()._controller  # noqa: SLF001
        key = (LongPollNamespace.DEPLOYMENT_TARGETS, DeploymentID(name="Model", app_name=application))
        self.seen[application] = []
        LongPollClient(
            controller,
            {key: lambda info: self.heard(application, info)},
            asyncio.get_running_loop(),
            f"folio:{application}",
        )

    def heard(self, application: str, info: Any) -> None:
        addresses = [("127.0.0.1", replica.backend_http_port) for replica in info.running_replicas]
        self.seen[application].append((time.time(), addresses))

    async def addresses(self, application: str) -> list[tuple[float, list[tuple[str, int]]]]:
        return self.seen.get(application, [])

    async def wake(self, application: str, how: str) -> float | None:
        """Return the seconds that one way of waking an idle model took; None when it did nothing for 20 s."""
        handle = serve.get_deployment_handle("Model", app_name=application, _check_exists=False)
        start = time.time()
        try:
            async with asyncio.timeout(20):
                await self.asked(handle, how)
        except TimeoutError:
            return None
        return time.time() - start

    async def asked(self, handle: Any, how: str) -> None:
        if how == "call":
            await handle.wake.remote()
            return
        async with handle.choose_replica(**({"_reserve": False} if how == "pick" else {})):
            pass

    async def cost(self, application: str) -> dict[str, float]:
        """Return milliseconds of CPU per pick: the handle's choice beside a look into our own table."""
        handle = serve.get_deployment_handle("Model", app_name=application, _check_exists=False)
        async with handle.choose_replica(_reserve=False):
            pass
        table = dict.fromkeys(self.seen[application][-1][1], 0)
        figures = {}
        rounds = 3000
        start = time.process_time()
        for _ in range(rounds):
            async with handle.choose_replica(_reserve=False):
                pass
        figures["choose_replica"] = (time.process_time() - start) / rounds * 1000
        keys = list(table)
        start = time.process_time()
        for _ in range(rounds):
            one, two = random.choice(keys), random.choice(keys)
            chosen = one if table[one] <= table[two] else two
            table[chosen] += 1
            table[chosen] -= 1
        figures["own table"] = (time.process_time() - start) / rounds * 1000
        start = time.process_time()
        for _ in range(500):
            await handle.wake.remote()
        figures["whole call by handle"] = (time.process_time() - start) / 500 * 1000
        return figures


async def measure(cluster: Cluster) -> None:
    deploy("model-plain", num_replicas=2, max_ongoing_requests=8)
    deploy(
        "model-idle",
        max_ongoing_requests=8,
        autoscaling_config={
            "min_replicas": 0,
            "max_replicas": 2,
            "target_ongoing_requests": 2,
            "downscale_delay_s": 5,
            "downscale_to_zero_delay_s": 5,
            "look_back_period_s": 2,
            "metrics_interval_s": 1,
        },
    )
    watcher = ray.remote(num_cpus=0.1)(Watcher).options(max_concurrency=100).remote()
    ray.get([watcher.watch.remote(name) for name in ("model-plain", "model-idle")])
    await asyncio.sleep(3)
    updates = ray.get(watcher.addresses.remote("model-plain"))
    print("route_prefix null: addresses by long poll:", updates)
    addresses = updates[-1][1]
    async with aiohttp.ClientSession() as session:
        for host, port in addresses:
            async with session.get(f"http://{host}:{port}/x") as answer:
                print("  GET replica", (host, port), answer.status, await answer.text())
        async with session.get(f"http://127.0.0.1:{cluster.serve_port}/x") as answer:
            print("  GET the public port", answer.status, (await answer.text())[:80])
        print("CPU ms per pick:", ray.get(watcher.cost.remote("model-plain")))
        await cancellation(session, addresses[0])
        await wake(session, watcher)
        await scale(watcher)


async def cancellation(session: aiohttp.ClientSession, address: tuple[str, int]) -> None:
    base = f"http://{address[0]}:{address[1]}"
    for path in ("/hold", "/stream"):
        delays = []
        for _ in range(5):
            task = asyncio.create_task(fetch(session, base + path))
            await asyncio.sleep(0.4)
            task.cancel()
            left = time.time()
            await asyncio.sleep(0.5)
            async with session.get(base + "/stats") as answer:
                stats = json.loads(await answer.text())
            delays.append(
                round((stats["cancelled_at"][-1] - left) * 1000, 1) if stats["running"] == 0 else None
            )
        print(f"cancelled after the client left {path}: ms", delays)
    tasks = [asyncio.create_task(fetch(session, base + "/hold")) for _ in range(12)]
    await asyncio.sleep(0.5)
    async with session.get(base + "/-/healthz") as answer:
        print("full replica (8 running, 4 queued) healthz", answer.status)
    for task in tasks:
        task.cancel()
    left = time.time()
    await asyncio.sleep(1)
    async with session.get(base + "/stats") as answer:
        stats = json.loads(await answer.text())
    print(
        "12 leave at once: running",
        stats["running"],
        "last ms",
        round((stats["cancelled_at"][-1] - left) * 1000, 1),
    )


async def fetch(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url) as answer:
        async for _ in answer.content.iter_any():
            pass


async def wake(session: aiohttp.ClientSession, watcher: Any) -> None:
    for how in ("pick", "reserve", "call"):
        before = ray.get(watcher.addresses.remote("model-idle"))[-1][1]
        start = time.time()
        seconds = ray.get(watcher.wake.remote("model-idle", how))
        at, table = ray.get(watcher.addresses.remote("model-idle"))[-1]
        print(
            f"wake by {how}: {before} -> {table}, handle said so after {seconds},"
            f" the table after {at - start:.2f} s"
        )
        if table:
            await emptied(session, watcher, table[0], hold=how == "call")


async def emptied(
    session: aiohttp.ClientSession, watcher: Any, address: tuple[str, int], *, hold: bool
) -> None:
    if hold:
        task = asyncio.create_task(fetch(session, f"http://{address[0]}:{address[1]}/hold"))
        await asyncio.sleep(14)
        still = ray.get(watcher.addresses.remote("model-idle"))[-1][1]
        print("  busy by HTTP alone for 14 s (idle after 5 s): still there:", still)
        task.cancel()
    start = time.time()
    for _ in range(80):
        if not ray.get(watcher.addresses.remote("model-idle"))[-1][1]:
            break
        await asyncio.sleep(0.5)
    print(f"  empty {time.time() - start:.1f} s after the last request")


async def scale(watcher: Any) -> None:
    start = time.time()
    deploy("model-plain", num_replicas=1, max_ongoing_requests=8)
    table = ray.get(watcher.addresses.remote("model-plain"))
    print(
        "scaled 2 -> 1: table changed after",
        [round(at - start, 2) for at, _ in table if at > start],
        table[-1],
    )
    start = time.time()
    serve.delete("model-plain")
    await asyncio.sleep(1)
    table = ray.get(watcher.addresses.remote("model-plain"))
    print("deleted: table changed after", [round(at - start, 2) for at, _ in table if at > start], table[-1])


def main() -> None:
    with running_cluster(cpus=8) as cluster:
        os.environ.update(cluster.environment)
        address = (cluster.directory / "r" / "ray_current_cluster").read_text().strip()
        ray.init(address=address, log_to_driver=False)
        try:
            serve.start(http_options={"host": "127.0.0.1", "port": cluster.serve_port})
            asyncio.run(measure(cluster))
        finally:
            ray.shutdown()


if __name__ == "__main__":
    main()

"""Hundreds of portfolios, and the part of KubeRay and their gateways: no machine holds so many Ray clusters.

KubeRay says of every RayService that it has seen it and that all applications run, as soon as it is written;
the gateways run on what it asks for. So every second that passes until a portfolio is Programmed is the
operator's or the API server's.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

import yaml
from aiohttp import web
from bench.operator.api import Api, Json, RefusedError, collection

from folio_operator import cluster as kinds

FOLDER = Path(__file__).parent
POLICIES = 10
"""Policies are shared, a tenth of the portfolios each."""
MODELS = ("small", "triage", "frontier")
AT_ONCE = 32
PATIENCE_SECONDS = 120.0


def portfolio_name(number: int) -> str:
    return f"portfolio-{number:04}"


def policy_name(number: int) -> str:
    return f"policy-{number % POLICIES}"


@dataclass
class Seen:
    """One portfolio as its objects tell; times are time.monotonic()."""

    generation: int = 0
    """Of the RayService that KubeRay has answered."""
    revision: str = ""
    """That the RayService asks for: what its gateways run on."""
    revised_at: float = 0.0
    status_at: float = 0.0
    """When the portfolio first had a status."""
    programmed_at: float = 0.0
    rested_at: float = 0.0
    """When it last became Programmed with nothing on its way."""
    rests: bool = False
    told: str = ""
    """Its conditions in short, for whoever waits in vain."""


@dataclass
class Fleet:
    """The portfolios of one namespace."""

    api: Api
    namespace: str
    size: int
    seen: dict[str, Seen] = field(default_factory=dict)
    polls: int = 0
    limit: int = 1
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def names(self) -> list[str]:
        return [portfolio_name(number) for number in range(self.size)]

    # What people do.

    async def write(self) -> None:
        """Make all objects; the portfolios last, so that none ever misses a reference."""
        await self.api.create(namespace(self.namespace))
        await _all(self.api.create(each) for each in self._shared())
        written = [each for number in range(self.size) for each in self._written("portfolio.yaml", number)]
        for kind in (kinds.MODEL, kinds.PORTFOLIO):
            await _all(self.api.create(each) for each in written if each["kind"] == kind.name)

    async def edit(self, name: str) -> None:
        """Raise the portfolio's budget, which its gateways have to know."""
        self.limit += 1
        await self.api.merge(self._path(kinds.PORTFOLIO, name), {"spec": {"budgets": [budget(self.limit)]}})

    async def edit_all(self) -> None:
        await _all(self.edit(name) for name in self.names)

    async def edit_policy(self, name: str, seconds: int) -> None:
        await self.api.merge(
            self._path(kinds.POLICY, name), {"spec": {"limits": {"deadline": f"{seconds}s"}}}
        )

    async def delete_portfolios(self) -> None:
        await self.api.remove(self._path(kinds.PORTFOLIO))

    # What is seen.

    def start(self) -> None:
        self.seen = {name: Seen() for name in self.names}
        self._tasks = [
            asyncio.create_task(self._follow(kinds.RAY_SERVICE, self._service)),
            asyncio.create_task(self._follow(kinds.PORTFOLIO, self._status)),
        ]

    def stop(self) -> None:
        for each in self._tasks:
            each.cancel()

    async def until(self, what: str, seconds: float, count: Callable[[], int], of: int) -> None:
        """Wait until the count is full, showing how far it is."""
        began = shown = time.monotonic()
        while (now := count()) < of:
            self._raise()
            if time.monotonic() - began > seconds:
                raise SystemExit(f"{what}: {now} of {of} after {seconds:.0f} s; {self._lagging()}")
            if time.monotonic() - shown >= 5:
                shown = time.monotonic()
                print(f"    {what}: {now} of {of} after {shown - began:.0f} s", flush=True)
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), 1.0)
            except TimeoutError:
                continue

    async def revised(self, names: list[str], since: float) -> None:
        """Wait until the RayServices of these portfolios ask for something else than before."""
        await self.until(
            "edited",
            PATIENCE_SECONDS,
            lambda: sum(1 for name in names if self.seen[name].revised_at > since),
            len(names),
        )

    def count(self, is_counted: Callable[[Seen], object]) -> int:
        return sum(1 for each in self.seen.values() if is_counted(each))

    async def serve_gateways(self) -> tuple[web.AppRunner, str]:
        """Answer for every portfolio's gateway; return where, as the operator wants it."""
        app = web.Application()
        app.router.add_get("/{namespace}/{name}/internal/state", self._state)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        return runner, f"http://127.0.0.1:{port}/{{namespace}}/{{name}}"

    async def _state(self, request: web.Request) -> web.Response:
        self.polls += 1
        seen = self.seen.get(request.match_info["name"])
        if seen is None or not seen.revision or not request.headers.get("x-folio-token"):
            return web.Response(status=404)
        models = [{"name": name, "state": "Ready", "replicas": 1} for name in MODELS]
        replicas = [{"replica": name, "revision": seen.revision} for name in ("a", "b")]
        return web.Response(text=json.dumps({"replicas": replicas, "models": models}))

    async def _follow(self, kind: kinds.Kind, take: Callable[[Json], Any]) -> None:
        while True:  # the API server ends watches now and then, those of slow readers first
            there = {each["metadata"]["name"] for each in await self.api.list(self._path(kind))}
            if kind is kinds.PORTFOLIO:
                self.seen = {name: each for name, each in self.seen.items() if name in there}
            async for event in self.api.watch(self._path(kind)):
                if event["type"] in ("ADDED", "MODIFIED"):
                    await take(event["object"])
                elif kind is kinds.PORTFOLIO and event["type"] == "DELETED":
                    self.seen.pop(event["object"]["metadata"]["name"], None)
                self._changed.set()

    async def _service(self, body: Json) -> None:
        """Play KubeRay and Serve: what is asked for runs."""
        metadata = body["metadata"]
        seen = self.seen.get(metadata["name"])
        if seen is None:
            return
        revision = (metadata.get("annotations") or {}).get("folio.dev/revision", "")
        if revision != seen.revision:
            seen.revision, seen.revised_at = revision, time.monotonic()
        if metadata["generation"] == seen.generation or metadata.get("deletionTimestamp"):
            return
        seen.generation = metadata["generation"]
        asyncio.get_running_loop().create_task(self._answer(metadata["name"], body))

    async def _answer(self, name: str, body: Json) -> None:
        asked = yaml.load(body["spec"]["serveConfigV2"], yaml.CSafeLoader)
        runs = {each["name"]: {"status": "RUNNING"} for each in asked["applications"]}
        status = {
            "observedGeneration": body["metadata"]["generation"],
            "activeServiceStatus": {"rayClusterName": f"{name}-played", "applicationStatuses": runs},
        }
        try:
            await self.api.merge(f"{self._path(kinds.RAY_SERVICE, name)}/status", {"status": status})
        except RefusedError as refused:
            if refused.status != 404:
                raise

    async def _status(self, body: Json) -> None:
        seen, now = self.seen.get(body["metadata"]["name"]), time.monotonic()
        status = body.get("status") or {}
        found = {
            each["type"]: each for each in status.get("conditions") or () if "observedGeneration" in each
        }
        if seen is None or not found:  # it is gone, or has the placeholder of the definition
            return
        seen.status_at = seen.status_at or now
        newest = status.get("observedGeneration") == body["metadata"]["generation"]
        programmed = newest and found["Programmed"]["status"] == "True"
        if programmed:
            seen.programmed_at = seen.programmed_at or now
        rests = programmed and "Reconciling" not in found
        if rests and not seen.rests:
            seen.rested_at = now
        seen.rests = rests
        seen.told = ", ".join(f"{kind} {each['status']} {each['reason']}" for kind, each in found.items())

    def _raise(self) -> None:
        for each in self._tasks:
            if each.done():
                each.result()

    def _lagging(self) -> str:
        late = [name for name in self.names if not self.seen.get(name, Seen()).rests]
        return f"of {len(late)} for example {late[0]}: {self.seen.get(late[0], Seen()).told}" if late else ""

    # What is written.

    def _path(self, kind: kinds.Kind, name: str = "") -> str:
        return collection(kind, self.namespace) + (f"/{name}" if name else "")

    def _shared(self) -> Iterator[Json]:
        key = {"token": base64.b64encode(b"sesam").decode()}
        yield self._here(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "provider"}, "data": key}
        )
        for number in range(POLICIES):
            yield from self._written("policy.yaml", number)

    def _written(self, file: str, number: int) -> Iterator[Json]:
        text = Template((FOLDER / file).read_text())
        names = {"name": portfolio_name(number), "policy": policy_name(number)}
        yield from map(self._here, yaml.load_all(text.substitute(names), yaml.CSafeLoader))

    def _here(self, body: Json) -> Json:
        return {**body, "metadata": {**body["metadata"], "namespace": self.namespace}}


def budget(requests: int) -> Json:
    return {"name": "day", "scope": "Portfolio", "window": "24h", "limit": {"requests": requests}}


def namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


async def _all(work: Iterable[Any]) -> None:
    """Run all of it, so many at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(each: Any) -> None:
        async with gate:
            await each

    await asyncio.gather(*map(one, work))


def picked(fleet: Fleet, count: int) -> list[str]:
    """Return so many portfolios, the same in every run."""
    return random.Random(0).choices(fleet.names, k=count)

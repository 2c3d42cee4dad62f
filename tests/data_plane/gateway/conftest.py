"""The real gateway under real Ray Serve, in front of played models, a real encoder and a provider outside."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from tests.data_plane.cluster import TLS, Cluster, gateway
from tests.data_plane.light.conftest import triage_head
from tests.integration.gateway.models import Models, Plays, serving

from folio_api.table import Accept, External, GatewayConfig, Intent, Model, Price, Rung, Table
from folio_serving.classify.ngram import save_head

PLAYED = {"fast": {}, "slow": {"seconds": 2.0}, "idle": {"text": "awake"}}
PRICE = Price(device="cpu", devices_per_replica=1, usd_per_replica_second=0.001)


@dataclass
class Served:
    """A running portfolio."""

    cluster: Cluster
    provider: Models
    provider_port: int
    applications: list[dict[str, Any]] = field(default_factory=list)

    @property
    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.cluster.serve_url, timeout=60, verify=TLS)

    def async_client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
        return httpx.AsyncClient(base_url=self.cluster.serve_url, timeout=120, limits=limits, verify=TLS)

    def state(self) -> dict[str, Any]:
        answer = self.client.get("/internal/state", headers=self.cluster.token_header)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def wait(self, revision: str, *ready: str, seconds: float = 60) -> dict[str, Any]:
        """Return the state once every gateway replica has the revision and the models are ready."""
        deadline = time.monotonic() + seconds
        state: dict[str, Any] = {}
        while time.monotonic() < deadline:
            state = self.state()
            models = {one["name"]: one["state"] for one in state["models"]}
            if all(one["revision"] == revision for one in state["replicas"]) and all(
                models.get(name) == "Ready" for name in ready
            ):
                return state
            time.sleep(0.05)
        raise AssertionError(f"{revision} with {ready} was not reached: {state}")

    def table(self, **fields: Any) -> Table:
        return portfolio_table(self.provider_port, **fields)

    def deploy(self, table: Table, replicas: int = 1) -> None:
        self.cluster.deploy(gateway(GatewayConfig(active=table), replicas), *self.applications)

    def stats(self, application: str) -> list[dict[str, int]]:
        urls = self.cluster.replica_urls(application)
        return [httpx.get(f"{url}/stats", headers=self.cluster.token_header).json() for url in urls]

    def ask(self, model: str, text: str = "hi", **fields: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return self.client.post("/v1/chat/completions", json=body)


def played(name: str, plays: dict[str, Any], **options: Any) -> dict[str, Any]:
    scaling = {"min_replicas": 1, "max_replicas": 1}
    return {
        "name": f"model-{name}",
        "route_prefix": None,
        "import_path": "tests.data_plane.gateway.apps:played_model",
        "args": {"name": name},
        "deployments": [
            {
                "name": "Model",
                "autoscaling_config": scaling,
                "max_ongoing_requests": 600,
                "max_queued_requests": 600,
                "user_config": {"plays": {name: plays}},
            }
            | options
        ],
    }


def encoder(name: str, volume: str) -> dict[str, Any]:
    spec = {
        "name": name,
        "engine": "encoder",
        "identity": "0",
        "cpus": 0.1,
        "source": {"uri": volume},
        "encoder": {"type": "NGram"},
        "tasks": ["Classification"],
    }
    application = played(name, {}) | {"import_path": "folio_serving.app:model", "args": spec}
    application["deployments"][0]["user_config"] = {"adapters": []}
    return application


def own(name: str, **fields: Any) -> Model:
    defaults = {"engine": "vllm", "application": f"model-{name}", "identity": "0", "price": PRICE}
    room = {"max_ongoing_requests": 600, "max_queued_requests": 600}
    return Model(name=name, **(defaults | room | fields))


def portfolio_table(provider_port: int, **fields: Any) -> Table:
    outside = External(
        base_url=f"http://127.0.0.1:{provider_port}/v1", model="big-1", api_key_file="big.token"
    )
    models = (
        own("fast", features=("Logprobs", "Tools")),
        own("slow", features=("Logprobs",)),
        own("idle", scales_to_zero=True),
        own("triage", engine="encoder", tasks=("Classification",)),
        Model(
            name="frontier", engine="external", identity="0", external=outside, features=("Tools", "Logprobs")
        ),
    )
    sure = Accept(signal="MeanLogprob", at_least=0.6)
    defaults: dict[str, Any] = {
        "portfolio": "test",
        "models": models,
        "default_ladder": (Rung(model="fast", accept=sure), Rung(model="frontier")),
        "intents": (
            Intent(
                name="waking",
                keywords=("wake",),
                ladder=(Rung(model="idle"), Rung(model="fast")),
                on_exhausted="ReturnBest",
            ),
        ),
    }
    return Table(**(defaults | fields)).with_revision()


@pytest.fixture(scope="session")
def provider() -> Iterator[tuple[Models, int]]:
    """An OpenAI-compatible server outside the cluster, in a thread of its own."""
    models = Models(plays={"big-1": Plays("from outside", provider=True)})
    started, stop = threading.Event(), threading.Event()
    port = 0

    async def run() -> None:
        nonlocal port
        async with serving(models) as port:
            started.set()
            while not stop.is_set():  # noqa: ASYNC110 - set by another thread
                await asyncio.sleep(0.1)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    started.wait(10)
    yield models, port
    stop.set()
    thread.join(10)


@pytest.fixture(scope="session")
def served(cluster: Cluster, provider: tuple[Models, int]) -> Iterator[Served]:
    (cluster.secrets / "big.token").write_text("the-key")
    head = cluster.volumes / "triage"
    head.mkdir(exist_ok=True)
    save_head(triage_head(), head / "head.npz")
    models, port = provider
    portfolio = Served(cluster, models, port)
    idle = {"autoscaling_config": {"min_replicas": 0, "max_replicas": 1, "downscale_to_zero_delay_s": 600}}
    portfolio.applications = [
        played("fast", PLAYED["fast"]),
        played("slow", PLAYED["slow"]),
        played("idle", PLAYED["idle"], **idle),
        encoder("triage", "volume://triage"),
    ]
    table = portfolio.table()
    portfolio.deploy(table)
    for application in ("gateway", "model-fast", "model-slow", "model-triage"):
        cluster.wait(application, seconds=400)
    portfolio.wait(table.revision, "fast", "slow", "triage", "frontier", seconds=120)
    yield portfolio
    cluster.deploy()

"""A whole gateway without Ray: real HTTP to played models, asked by ASGI or over a real port."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.integration.gateway.identity import Provider
from tests.integration.gateway.models import Models, Plays, serving

from folio_api.table import Accept, Auth, GatewayConfig, Intent, Model, Price, Rung, Table
from folio_serving.counter import OwnCounter
from folio_serving.fleet import Fleet
from folio_serving.ledger import RequestLog
from folio_serving.process import GatewayProcess
from folio_serving.replicas import Address, StaticReplicas
from folio_serving.secrets import Secrets

TOKEN = "the-internal-token"
PRICE = Price(
    usd_per_million_input_tokens=10, usd_per_million_output_tokens=20, device="cpu", devices_per_replica=2
)


def own_model(name: str, **fields: Any) -> Model:
    defaults: dict[str, Any] = {
        "engine": "vllm",
        "application": f"model-{name}",
        "identity": f"{name}-1",
        "features": ("Tools", "Logprobs", "JSONSchema"),
        "price": PRICE,
    }
    return Model(name=name, **(defaults | fields))


def rung(model: str, at_least: float | None = None, **fields: Any) -> Rung:
    accept = (
        Accept(signal="MeanLogprob", at_least=at_least) if at_least is not None else Accept(signal="Always")
    )
    return Rung(model=model, **({"accept": accept} | fields))


def table_of(*models: Model, ladder: tuple[Rung, ...], **fields: Any) -> Table:
    return Table(portfolio="test", models=models, default_ladder=ladder, **fields).with_revision()


SMALL_LARGE = table_of(
    own_model("small"),
    own_model("large"),
    own_model("vectors", tasks=("Embedding",), features=()),
    ladder=(rung("small", 0.6), rung("large")),
    intents=(
        Intent(name="code", keywords=("traceback",), ladder=(rung("large"),), on_exhausted="ReturnBest"),
        Intent(name="sure", keywords=("surely",), ladder=(rung("small", 0.6),), on_exhausted="Refuse"),
    ),
)


@dataclass
class Portfolio:
    """The gateway under test, its models, and a client for it."""

    process: GatewayProcess
    models: Models
    replicas: StaticReplicas
    client: httpx.AsyncClient
    log: io.StringIO
    counter: OwnCounter

    async def apply(self, table: Table, candidate: Table | None = None) -> None:
        """Give the gateway a table; every application in it answers at the played models' port."""
        for model in table.models:
            if model.application is not None:
                self.replicas.put(model.application, self.address(model.application))
        await self.process.reconfigure(
            GatewayConfig(active=table, candidate=candidate).model_dump(mode="json")
        )

    def address(self, application: str) -> Address:
        return Address(f"{application}-1", "127.0.0.1", self.models.port)

    async def chat(self, text: str = "hi", **fields: Any) -> httpx.Response:
        body = {"model": "folio", "messages": [{"role": "user", "content": text}], **fields}
        return await self.client.post("/v1/chat/completions", json=body)


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    (tmp_path / "internal-token").write_text(TOKEN)
    return Secrets(tmp_path)


@contextlib.asynccontextmanager
async def running_portfolio(secrets: Secrets) -> AsyncIterator[Portfolio]:
    """Return a gateway with `SMALL_LARGE` as its table."""
    models = Models()
    made: list[StaticReplicas] = []

    def replicas(listener: Callable[[str, tuple[Address, ...]], None]) -> StaticReplicas:
        made.append(StaticReplicas({}, listener))
        return made[0]

    log, counter = io.StringIO(), OwnCounter()
    async with serving(models) as models.port:
        fleet = Fleet(secrets, replicas)
        process = GatewayProcess("gateway-1", fleet, RequestLog(log), counter)
        transport = httpx.ASGITransport(process.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            running = Portfolio(process, models, made[0], client, log, counter)
            await running.apply(SMALL_LARGE)
            process.health.close()
            yield running
        await process.leases.close()
        fleet.close()


@pytest_asyncio.fixture
async def portfolio(secrets: Secrets) -> AsyncIterator[Portfolio]:
    async with running_portfolio(secrets) as running:
        yield running


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[Provider]:
    one = Provider()
    async with serving(one) as one.port:
        yield one


async def guard(portfolio: Portfolio, auth: Auth) -> None:
    """Let in who shows what `auth` asks for."""
    await portfolio.apply(SMALL_LARGE.model_copy(update={"auth": auth}).with_revision())
    portfolio.process.health.close()


@pytest_asyncio.fixture
async def guarded(portfolio: Portfolio, provider: Provider) -> AsyncIterator[Portfolio]:
    await guard(portfolio, provider.auth())
    yield portfolio
    portfolio.process.door.close()


__all__ = ["Models", "Plays"]

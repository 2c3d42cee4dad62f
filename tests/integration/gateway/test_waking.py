"""What gateways tell of a model without a replica: that it is being woken, whichever of them wakes it, and how far
its download is.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.integration.gateway.conftest import TOKEN, Portfolio, own_model, rung, running_portfolio, table_of
from tests.integration.gateway.models import serving

from folio_api.table import GatewayConfig, GatewayState, ModelState
from folio_serving.replicas import Address, Download
from folio_serving.secrets import Secrets
from folio_serving.state import GATEWAY_APPLICATION

SLEEPER = own_model("sleeper", scales_to_zero=True)
ABOVE_LARGE = table_of(SLEEPER, own_model("large"), ladder=(rung("sleeper"), rung("large")))


async def asleep(portfolio: Portfolio) -> None:
    await portfolio.apply(ABOVE_LARGE)
    portfolio.replicas.put("model-sleeper")


async def told(portfolio: Portfolio) -> ModelState:
    answer = await portfolio.client.get("/internal/state", headers={"x-folio-token": TOKEN})
    state = GatewayState.model_validate_json(answer.content)
    return next(each for each in state.models if each.name == "sleeper")


async def test_a_sleeping_model_that_is_asked_is_said_to_wake_until_it_has_a_replica(
    portfolio: Portfolio,
) -> None:
    await asleep(portfolio)
    assert ((await told(portfolio)).state, (await told(portfolio)).reason) == ("Idle", "ScaledToZero")

    await portfolio.chat()
    assert ((await told(portfolio)).state, (await told(portfolio)).reason) == ("Pending", "Waking")

    portfolio.replicas.put("model-sleeper", portfolio.address("model-sleeper"))
    assert (await told(portfolio)).state == "Loading"


async def test_a_waking_that_ends_without_a_replica_is_told_as_sleep_again(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("folio_serving.fleet.WAKE_SECONDS", 0.1)
    await asleep(portfolio)
    await portfolio.chat()
    await asyncio.sleep(0.3)

    assert (await told(portfolio)).state == "Idle"


async def test_what_another_gateway_replica_wakes_is_told_by_this_one_too(
    portfolio: Portfolio, secrets: Secrets
) -> None:
    async with running_portfolio(secrets) as peer, serving(peer.process.app) as port:
        await asleep(portfolio)
        await asleep(peer)
        portfolio.replicas.put(GATEWAY_APPLICATION, Address("gateway-2", "127.0.0.1", port))
        await peer.chat()

        assert (await told(portfolio)).reason == "Waking"


async def test_how_far_a_download_is_is_told_until_there_is_a_replica(portfolio: Portfolio) -> None:
    await asleep(portfolio)
    portfolio.replicas.fetching["model-sleeper"] = Download("hf://acme/tiny", 1_240_000_000, 4_800_000_000)
    assert (await told(portfolio)).state == "Idle"  # nobody wakes it: what is told is of another time

    await portfolio.chat()
    found = await told(portfolio)
    assert (found.state, found.reason) == ("Downloading", "Waking")
    assert found.message == "1.2 of 4.8 GB of hf://acme/tiny are here"

    portfolio.replicas.put("model-sleeper", portfolio.address("model-sleeper"))
    assert (await told(portfolio)).state == "Loading"


async def test_a_model_that_was_never_there_says_downloading_and_then_pending(portfolio: Portfolio) -> None:
    table = table_of(own_model("sleeper"), own_model("large"), ladder=(rung("sleeper"), rung("large")))
    await portfolio.process.reconfigure(GatewayConfig(active=table).model_dump(mode="json"))
    portfolio.replicas.fetching["model-sleeper"] = Download("hf://acme/tiny", 0, 480_000)
    found = await told(portfolio)
    assert (found.state, found.reason) == ("Downloading", "Downloading")
    assert found.message == "0.0 of 480.0 kB of hf://acme/tiny are here"

    portfolio.replicas.fetching.clear()
    assert (await told(portfolio)).state == "Pending"


async def test_peers_are_asked_while_ray_is_asked_how_far_downloads_are(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def told_after_the_peer_was_asked() -> dict[str, Download]:
        await asked.wait()
        return {"model-sleeper": Download("hf://acme/tiny", 0, 480_000)}

    def leaves(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.close()

    monkeypatch.setattr(portfolio.replicas, "downloads", told_after_the_peer_was_asked)
    await asleep(portfolio)
    await portfolio.chat()
    async with await asyncio.start_server(leaves, "127.0.0.1", 0) as peer:
        port = peer.sockets[0].getsockname()[1]
        portfolio.replicas.put(GATEWAY_APPLICATION, Address("gateway-2", "127.0.0.1", port))

        assert (await told(portfolio)).state == "Downloading"


async def test_a_ray_that_does_not_say_how_far_downloads_are_keeps_nobody_waiting(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent() -> dict[str, Download]:
        await asyncio.sleep(60)
        return {}

    monkeypatch.setattr("folio_serving.fleet.DOWNLOADS_SECONDS", 0.1)
    monkeypatch.setattr(portfolio.replicas, "downloads", silent)
    await asleep(portfolio)
    await portfolio.chat()
    assert (await told(portfolio)).reason == "Waking"

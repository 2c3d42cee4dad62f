"""A model's process is killed under load. Each test ends when the model came back by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence

import httpx
from tests.data_plane.portfolio.conftest import START_SECONDS, Running
from tests.data_plane.portfolio.load import PATH, Asked, Outcome, load

CLIENTS = 6
BICYCLE = "my bicycle is late"
SORTING = [
    Asked("folio", BICYCLE),
    Asked("folio", BICYCLE, stream=True),
    Asked("folio/sort", BICYCLE),
    Asked("folio/sort", BICYCLE, stream=True),
    Asked("folio", f"sort this: {BICYCLE}"),
]
WRITING = [
    Asked("folio/write", BICYCLE, stream=True, max_tokens=800),
    Asked("folio/write", BICYCLE, max_tokens=200),
    Asked("folio", f"write about this: {BICYCLE}", max_tokens=200),
]


def pid_of(portfolio: Running, model: str) -> int:
    (pid,) = portfolio.cluster.replica_pids(f"model-{model}")
    return pid


async def until_one_streams(begun: set[str]) -> None:
    async with asyncio.timeout(30):
        while not begun:  # noqa: ASYNC110 - a stream lasts a second or so
            await asyncio.sleep(0.005)


async def named_refusal(client: httpx.AsyncClient, model: str) -> httpx.Response:
    """Return the first answer of the named model that says that it is not there."""
    body = Asked(model, BICYCLE).body()
    for _ in range(200):
        answer = await client.post(PATH, json=body)
        if answer.status_code != 200:
            return answer
    raise AssertionError(f"{model} was killed and answered all the same")


async def until_it_answers(client: httpx.AsyncClient, model: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while (answer := await client.post(PATH, json=Asked(model, BICYCLE).body())).status_code != 200:
        assert answer.status_code == 503, answer.text
        assert time.monotonic() < deadline, f"{model} did not come back: {answer.text}"
        await asyncio.sleep(0.25)


async def killed_under(
    portfolio: Running, model: str, kinds: Sequence[Asked], *, seconds_before: float, pause_seconds: float
) -> tuple[list[Outcome], httpx.Response]:
    """Kill the model under this load, and let the load go on until it is back; returns what became of it.

    Where the load streams, the kill waits until a stream is under way.
    """
    begun: set[str] = set()
    async with (
        portfolio.http() as client,
        load(client, kinds, clients=CLIENTS, pause_seconds=pause_seconds, begun=begun) as outcomes,
    ):
        await asyncio.sleep(seconds_before)
        pid = await asyncio.to_thread(pid_of, portfolio, model)
        await until_one_streams(begun)
        os.kill(pid, signal.SIGKILL)
        refusal = await named_refusal(client, model)
        await asyncio.to_thread(portfolio.wait_for_another, model, pid)
        await until_it_answers(client, model)
        await asyncio.sleep(1)
    print(f"answered by {Counter(one.model for one in outcomes)}, broken {sum(o.broken for o in outcomes)}")
    return outcomes, refusal


def check_refusal(refusal: httpx.Response) -> None:
    """A model that was asked by its name has nobody to stand in for it."""
    assert refusal.status_code == 503, refusal.text
    assert int(refusal.headers["retry-after"]) >= 1
    assert refusal.json()["error"]["code"] in {"Unavailable", "UpstreamError"}


async def test_the_next_rung_stands_in_for_a_killed_encoder_without_a_single_5xx(portfolio: Running) -> None:
    outcomes, refusal = await killed_under(portfolio, "sorter", SORTING, seconds_before=1, pause_seconds=0.02)
    assert Counter(one.status for one in outcomes) == {200: len(outcomes)}
    assert [one for one in outcomes if one.broken] == []
    assert {"sorter", "spare", "writer"} <= {one.model for one in outcomes}
    assert outcomes[0].model == outcomes[-1].model == "sorter"
    check_refusal(refusal)


async def test_the_next_rung_stands_in_for_a_killed_engine_and_broken_streams_are_counted(
    portfolio: Running,
) -> None:
    before = portfolio.broken_streams("writer")
    outcomes, refusal = await killed_under(portfolio, "writer", WRITING, seconds_before=4, pause_seconds=0.2)
    broken = [one for one in outcomes if one.broken]
    assert Counter(one.status for one in outcomes) == {200: len(outcomes)}
    assert broken, "no stream was under way: the engine was killed too late or too early to show anything"
    assert {(one.asked.stream, one.model) for one in broken} == {(True, "writer")}
    assert any(one.text for one in broken), "what had come before was delivered"
    assert {one.error["code"] for one in broken if one.error} == {"UpstreamError"}
    assert portfolio.broken_streams("writer") - before == len(broken)
    assert {"writer", "spare"} <= {one.model for one in outcomes}
    check_refusal(refusal)

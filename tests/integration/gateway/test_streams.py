"""Streams: headers are late, a prefix decides, the account comes last, and what breaks says so."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import pytest
from tests.integration.gateway.conftest import SMALL_LARGE, Portfolio, own_model, rung, table_of
from tests.integration.gateway.models import Plays

from folio_api.table import Accept, Context, External, Model, Rung, Streaming
from folio_serving import drive

TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    lines = [line[6:] for line in answer.text.split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def said(answer: httpx.Response) -> str:
    return "".join(
        choice["delta"].get("content") or ""
        for event in events(answer)
        for choice in event.get("choices", ())
    )


def account(answer: httpx.Response) -> dict[str, Any]:
    lines = [line for line in answer.text.split("\n") if line.startswith(": folio ")]
    assert len(lines) == 1, answer.text
    return dict(json.loads(lines[0][8:]))


async def test_a_prefix_that_is_sure_enough_commits_the_first_rung(portfolio: Portfolio) -> None:
    portfolio.models.plays["small"] = Plays("abcd", mean=0.8)
    answer = await portfolio.chat(stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-folio-model"] == "small"
    assert sorted(said(answer)) == list("abcd")
    assert answer.text.endswith("data: [DONE]\n\n")
    assert account(answer)["model"] == "small"
    assert portfolio.models.headers[0]["x-folio-signals"] == "logprobs;at=32"


async def test_a_prefix_that_is_not_goes_to_the_next_rung_and_the_client_never_sees_it(
    portfolio: Portfolio,
) -> None:
    portfolio.models.plays |= {"small": Plays("wrong", mean=0.2), "large": Plays("right")}
    answer = await portfolio.chat(stream=True)
    assert "wrong"[0] not in said(answer) or sorted(said(answer)) == sorted("right")
    assert sorted(said(answer)) == sorted("right")
    told = account(answer)
    assert [attempt["reason"] for attempt in told["attempts"]] == ["NotConfident", "Accepted"]
    assert told["cost_usd"] > 0


async def test_what_a_retriever_found_is_shown_to_the_next_rung_of_a_stream(portfolio: Portfolio) -> None:
    """A stream's events are not searched for passages: a retriever's rung has to be held back whole."""
    found = {"text": "The workshop opens at nine.", "source": "hours.md", "score": 0.3}
    portfolio.models.plays |= {"kb": Plays("Nine?", score=0.3, passages=(found,)), "large": Plays("At nine.")}
    await portfolio.apply(
        table_of(
            own_model("kb", engine="retriever", features=()),
            own_model("large"),
            ladder=(
                Rung(model="kb", accept=Accept(signal="Score", at_least=0.6)),
                rung("large", context=Context(passages=1)),
            ),
        )
    )
    answer = await portfolio.chat("when?", stream=True)
    assert sorted(said(answer)) == sorted("At nine.")
    assert [body.get("stream", False) for body in portfolio.models.asked] == [False, True]
    assert found["text"] in portfolio.models.asked[1]["messages"][0]["content"]


async def test_usage_carries_the_account_where_it_was_asked_for(portfolio: Portfolio) -> None:
    answer = await portfolio.chat(stream=True, stream_options={"include_usage": True})
    last = events(answer)[-1]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 5
    assert last["folio"]["model"] == "small"
    assert ": folio " not in answer.text


async def test_heartbeats_keep_a_waiting_client(portfolio: Portfolio) -> None:
    quick = SMALL_LARGE.model_copy(
        update={"streaming": Streaming(heartbeat_after_seconds=0.05)}
    ).with_revision()
    await portfolio.apply(quick)
    portfolio.models.plays["small"] = Plays(seconds=0.3)
    answer = await portfolio.chat(stream=True)
    assert answer.text.startswith(": working on it\n\n")
    assert "x-folio-model" not in answer.headers
    assert account(answer)["model"] == "small"


async def test_trouble_before_the_headers_is_a_status(portfolio: Portfolio) -> None:
    portfolio.models.plays |= {name: Plays(status=500) for name in ("small", "large")}
    answer = await portfolio.chat(stream=True)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "UpstreamError"
    assert answer.headers["x-folio-reason"] == "UpstreamError"


async def test_trouble_after_a_heartbeat_is_an_event(portfolio: Portfolio) -> None:
    quick = SMALL_LARGE.model_copy(
        update={"streaming": Streaming(heartbeat_after_seconds=0.05)}
    ).with_revision()
    await portfolio.apply(quick)
    portfolio.models.plays |= {name: Plays(status=500, seconds=0.1) for name in ("small", "large")}
    answer = await portfolio.chat(stream=True)
    assert answer.status_code == 200
    assert events(answer)[-1]["error"]["code"] == "UpstreamError"
    assert "[DONE]" not in answer.text


async def test_a_model_s_own_refusal_after_a_heartbeat_is_told_in_its_words(portfolio: Portfolio) -> None:
    quick = SMALL_LARGE.model_copy(
        update={"streaming": Streaming(heartbeat_after_seconds=0.05)}
    ).with_revision()
    await portfolio.apply(quick)
    portfolio.models.plays["small"] = Plays(
        status=400, error="temperature must be a number", seconds=0.2, indent=2
    )
    answer = await portfolio.chat(stream=True)
    assert answer.status_code == 200
    assert answer.text.startswith(": working on it\n\n")
    assert events(answer)[-1]["error"]["message"] == "temperature must be a number"
    assert portfolio.models.names() == ["small"]


async def test_a_stream_that_breaks_before_its_first_event_is_stood_in_for(portfolio: Portfolio) -> None:
    portfolio.models.plays |= {"large": Plays(breaks_after=0), "small": Plays("fine")}
    both = table_of(own_model("large"), own_model("small"), ladder=(rung("large"), rung("small")))
    await portfolio.apply(both)
    answer = await portfolio.chat(stream=True)
    assert sorted(said(answer)) == sorted("fine")
    assert account(answer)["attempts"][0]["reason"] == "UpstreamError"


async def test_a_stream_that_breaks_later_ends_with_an_error_and_is_counted(portfolio: Portfolio) -> None:
    portfolio.models.plays["large"] = Plays(breaks_after=2, chunk_seconds=0.02)
    answer = await portfolio.chat("traceback", stream=True)
    assert events(answer)[-1]["error"]["message"].startswith("the stream broke off: large")
    assert "[DONE]" not in answer.text
    metrics = (await portfolio.client.get("/metrics")).text
    assert 'folio_broken_streams_total{rung="large"} 1.0' in metrics
    assert 'folio_cost_usd_total{role="rung",rung="large"}' in metrics


async def test_a_stream_that_speaks_to_its_end_is_not_called_silent(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "STREAM_IDLE_SECONDS", 1.0)
    monkeypatch.setattr(drive, "STREAM_SECONDS", 1.05)
    portfolio.models.plays["large"] = Plays("a" * 99, chunks=99, chunk_seconds=0.02)
    answer = await portfolio.chat("traceback", stream=True)
    assert events(answer)[-1]["error"]["message"].endswith("its stream lasted 1.05 s")


async def test_a_refusal_is_streamed_as_a_refusal(portfolio: Portfolio) -> None:
    portfolio.models.plays["small"] = Plays(mean=0.1)
    answer = await portfolio.chat("surely", stream=True)
    assert answer.status_code == 200
    assert "refusal" in events(answer)[0]["choices"][0]["delta"]
    assert account(answer)["reason"] == "NotConfident"


async def test_tool_calls_say_which_model_made_them(portfolio: Portfolio) -> None:
    portfolio.models.plays["small"] = Plays(tool_call="call_1", chunks=1)
    answer = await portfolio.chat(stream=True, tools=[TOOL])
    assert events(answer)[0]["choices"][0]["delta"]["tool_calls"][0]["id"] == "folio.small.call_1"


async def test_a_providers_stream_gets_our_name_and_loses_what_nobody_asked_for(portfolio: Portfolio) -> None:
    outside = External(base_url=f"http://127.0.0.1:{portfolio.models.port}/v1", model="big-1")
    frontier = Model(
        name="frontier", engine="external", identity="1", external=outside, features=("Logprobs",)
    )
    portfolio.models.plays["big-1"] = Plays("outside", provider=True, mean=0.9)
    await portfolio.apply(
        table_of(frontier, own_model("large"), ladder=(rung("frontier", 0.6), rung("large")))
    )
    answer = await portfolio.chat(stream=True)
    assert sorted(said(answer)) == sorted("outside")
    assert {event["model"] for event in events(answer)} == {"frontier"}
    assert all(event["choices"][0]["logprobs"] is None for event in events(answer))
    assert portfolio.models.asked[0]["model"] == "big-1"
    told = account(answer)["attempts"][0]
    assert (told["prompt_tokens"], told["completion_tokens"], told["confidence"]) == (7, 5, 0.9)


@pytest.mark.parametrize(
    ("limit", "play", "why"),
    [
        ("STREAM_SECONDS", Plays("a" * 99, chunks=99, chunk_seconds=0.05), "lasted 0.5 s"),
        ("STREAM_IDLE_SECONDS", Plays("ab", chunks=2, chunk_seconds=30), "was silent for 0.5 s"),
    ],
    ids=["that never ends", "that falls silent"],
)
async def test_a_committed_stream_ends(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch, limit: str, play: Plays, why: str
) -> None:
    monkeypatch.setattr(drive, limit, 0.5)
    portfolio.models.plays["large"] = play
    began = time.monotonic()
    answer = await portfolio.chat("traceback", stream=True)
    assert time.monotonic() - began < 5
    assert said(answer).startswith("a")
    assert events(answer)[-1]["error"]["message"] == f"the stream broke off: large: its stream {why}"
    while portfolio.models.running and time.monotonic() - began < 5:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    assert (portfolio.models.running, portfolio.models.cancelled) == (0, 1)

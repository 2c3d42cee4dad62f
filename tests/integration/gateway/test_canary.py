"""A candidate table beside the active one: who is given it, and what is told of the two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.gateway.conftest import SMALL_LARGE, TOKEN, Plays, Portfolio, rung

from folio_api.table import GatewayConfig, GatewayState, ReplicaState, Streaming, Table, Trial
from folio_serving.canary import is_drawn, stickiness

CANDIDATE = SMALL_LARGE.model_copy(update={"default_ladder": (rung("large"),)}).with_revision()
ACTIVE = SMALL_LARGE.revision
HI = {"model": "folio", "messages": [{"role": "user", "content": "hi"}]}


async def apply(portfolio: Portfolio, percent: int, candidate: Table | None = CANDIDATE) -> None:
    config = GatewayConfig(active=SMALL_LARGE, candidate=candidate, canary_percent=percent)
    await portfolio.process.reconfigure(config.model_dump(mode="json"))


async def answered_by(portfolio: Portfolio, text: str = "hi", **fields: object) -> str:
    return (await portfolio.chat(text, **fields)).headers["x-folio-revision"]


async def asked_for(portfolio: Portfolio, revision: str) -> str:
    answer = await portfolio.client.post(
        "/v1/chat/completions", json=HI, headers={"x-folio-revision": revision}
    )
    return answer.headers["x-folio-revision"]


def is_tried(user: str, percent: int = 50) -> bool:
    """Whether the candidate answers `hi` of this user."""
    return is_drawn(CANDIDATE.revision.encode(), stickiness({**HI, "user": user}, "", ""), percent)


async def own_state(portfolio: Portfolio) -> ReplicaState:
    answer = await portfolio.client.get("/internal/state", headers={"x-folio-token": TOKEN})
    (replica,) = GatewayState.model_validate_json(answer.content).replicas
    return replica


async def trials(portfolio: Portfolio) -> dict[str, Trial]:
    return {each.revision: each for each in (await own_state(portfolio)).trials}


async def test_about_so_many_conversations_are_given_the_candidate(portfolio: Portfolio) -> None:
    await apply(portfolio, 20)
    seen = Counter([await answered_by(portfolio, f"question {n}", user="backend") for n in range(300)])
    assert 35 <= seen[CANDIDATE.revision] <= 85
    assert seen[ACTIVE] == 300 - seen[CANDIDATE.revision]


async def test_a_conversation_stays_where_it_is(portfolio: Portfolio) -> None:
    await apply(portfolio, 50)
    everywhere: set[str] = set()
    for number in range(16):
        first = {"role": "user", "content": f"conversation {number}"}
        turns = [[first], [first, {"role": "assistant", "content": "x"}, {"role": "user", "content": "and?"}]]
        tables = {await answered_by(portfolio, messages=turn, user="u") for turn in turns}
        assert len(tables) == 1
        everywhere |= tables
    assert everywhere == {ACTIVE, CANDIDATE.revision}


async def test_the_tenant_and_the_user_draw_too_and_so_does_the_candidate() -> None:
    body = {**HI, "user": "u"}
    keys = {stickiness(each, tenant, "") for each in (HI, body) for tenant in ("", "t")}
    assert len(keys) == 4
    drawn = [[is_drawn(revision, str(n).encode(), 50) for n in range(64)] for revision in (b"one", b"two")]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize(("percent", "share"), [(0, 0), (100, 64)])
async def test_nobody_and_everybody_are_drawn_too(percent: int, share: int) -> None:
    assert sum(is_drawn(b"one", str(n).encode(), percent) for n in range(64)) == share


async def test_without_a_percentage_only_who_asks_is_given_the_candidate(portfolio: Portfolio) -> None:
    await apply(portfolio, 0)
    assert {await answered_by(portfolio, user=f"u{n}") for n in range(20)} == {ACTIVE}
    assert await asked_for(portfolio, CANDIDATE.revision) == CANDIDATE.revision


async def test_a_revision_asked_for_by_name_is_neither_drawn_nor_counted(portfolio: Portfolio) -> None:
    await apply(portfolio, 100)
    assert await asked_for(portfolio, ACTIVE) == ACTIVE
    assert await asked_for(portfolio, CANDIDATE.revision) == CANDIDATE.revision
    assert [each.requests for each in (await trials(portfolio)).values()] == [0, 0]


async def test_embeddings_are_never_drawn(portfolio: Portfolio) -> None:
    await apply(portfolio, 100)
    body = {"model": "small", "input": "text"}
    answer = await portfolio.client.post("/v1/embeddings", json=body)
    assert answer.headers["x-folio-revision"] == ACTIVE


async def test_requests_errors_and_escalations_are_told_by_revision(portfolio: Portfolio) -> None:
    portfolio.models.plays["small"] = Plays(mean=0.1)
    await apply(portfolio, 50)
    users = [f"u{n}" for n in range(20)]
    tried = [user for user in users if is_tried(user)]
    for user in users:
        await portfolio.chat(user=user)
    portfolio.models.plays["large"] = Plays(status=500)
    assert (await portfolio.chat(user=tried[0])).status_code == 503
    others = len(users) - len(tried)
    assert await trials(portfolio) == {
        ACTIVE: Trial(revision=ACTIVE, requests=others, errors=0, escalations=others),
        CANDIDATE.revision: Trial(revision=CANDIDATE.revision, requests=len(tried) + 1, errors=1),
    }


async def test_a_request_that_crashes_is_a_failure_and_one_that_is_refused_is_no_evidence(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply(portfolio, 100)
    refused = await portfolio.chat(model="ghost")
    assert (refused.status_code, refused.headers["x-folio-revision"]) == (404, CANDIDATE.revision)
    assert (await trials(portfolio))[CANDIDATE.revision].requests == 0

    def broken(*_: object) -> Any:
        raise RuntimeError("a flaw of the candidate's")

    assert portfolio.process.keeper.candidate is not None
    monkeypatch.setattr(type(portfolio.process.keeper.candidate.router), "route", broken)
    with pytest.raises(RuntimeError):
        await portfolio.chat()
    found = (await trials(portfolio))[CANDIDATE.revision]
    assert (found.requests, found.errors) == (1, 1)


@pytest.mark.parametrize(("status", "counted"), [(500, (1, 1)), (400, (0, 0))])
async def test_a_stream_that_fails_after_a_heartbeat_counts_as_it_would_without_one(
    portfolio: Portfolio, status: int, counted: tuple[int, int]
) -> None:
    hasty = CANDIDATE.model_copy(update={"streaming": Streaming(heartbeat_after_seconds=0.05)})
    candidate = hasty.with_revision()
    await apply(portfolio, 100, candidate)
    portfolio.models.plays["large"] = Plays(status=status, seconds=0.2)
    answer = await portfolio.chat(stream=True)
    assert (answer.status_code, answer.headers["x-folio-revision"]) == (200, candidate.revision)
    found = (await trials(portfolio))[candidate.revision]
    assert (found.requests, found.errors) == counted


async def test_a_candidate_that_comes_back_begins_anew(portfolio: Portfolio) -> None:
    await apply(portfolio, 100)
    await portfolio.chat()
    assert (await trials(portfolio))[CANDIDATE.revision].requests == 1
    await apply(portfolio, 0, candidate=None)
    assert set(await trials(portfolio)) == {ACTIVE}
    await apply(portfolio, 100)
    assert (await trials(portfolio))[CANDIDATE.revision].requests == 0


def _of_another_revision(config: dict[str, Any]) -> None:
    config["candidate"]["revision"] = "made-up"


def _unreadable(config: dict[str, Any]) -> None:
    config["candidate"]["limits"] = {"deadline_seconds": "soon"}


@pytest.mark.parametrize("harm", [_of_another_revision, _unreadable])
async def test_a_bad_candidate_is_left_out_and_named_and_the_active_table_is_taken(
    portfolio: Portfolio, harm: Callable[[dict[str, Any]], None]
) -> None:
    edited = SMALL_LARGE.model_copy(update={"default_ladder": (rung("large"),)}).with_revision()
    config = GatewayConfig(active=edited, candidate=SMALL_LARGE, canary_percent=100).model_dump(mode="json")
    harm(config)
    await portfolio.process.reconfigure(config)
    told = await own_state(portfolio)
    assert (told.revision, told.candidate) == (edited.revision, None)
    assert told.rejected
    assert told.rejected_revision == config["candidate"]["revision"]
    assert await answered_by(portfolio) == edited.revision
    await apply(portfolio, 0)
    told = await own_state(portfolio)
    assert (told.candidate, told.rejected, told.rejected_revision) == (CANDIDATE.revision, None, None)

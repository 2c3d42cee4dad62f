"""Tables come and go under running requests; a bad one changes nothing."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from tests.integration.gateway.conftest import SMALL_LARGE, TOKEN, Portfolio, own_model, rung, table_of
from tests.integration.gateway.models import Plays

from folio_api.table import DataClass, GatewayConfig, Intent, Limits, Table
from folio_serving import ledger
from folio_serving.health import canary
from folio_serving.replicas import Address

OTHER = table_of(own_model("other"), ladder=(rung("other"),))


async def test_a_request_keeps_the_table_that_it_came_in_under(portfolio: Portfolio) -> None:
    portfolio.models.plays["small"] = Plays(seconds=0.3)
    asked = asyncio.create_task(portfolio.chat())
    await asyncio.sleep(0.1)
    await portfolio.apply(OTHER)
    before, after = await asked, await portfolio.chat()
    assert (before.headers["x-folio-revision"], before.headers["x-folio-model"]) == (
        SMALL_LARGE.revision,
        "small",
    )
    assert (after.headers["x-folio-revision"], after.headers["x-folio-model"]) == (OTHER.revision, "other")


async def test_the_candidate_answers_whoever_asks_for_it(portfolio: Portfolio) -> None:
    await portfolio.apply(OTHER)
    await portfolio.apply(SMALL_LARGE, candidate=OTHER)
    answer = await portfolio.client.post(
        "/v1/chat/completions",
        json={"model": "folio", "messages": [{"role": "user", "content": "hi"}]},
        headers={"x-folio-revision": OTHER.revision},
    )
    assert answer.headers["x-folio-model"] == "other"
    assert (await portfolio.chat()).headers["x-folio-model"] == "small"


async def test_a_bad_table_is_reported_and_the_last_good_one_serves_on(portfolio: Portfolio) -> None:
    broken = SMALL_LARGE.model_copy(update={"default_ladder": (rung("ghost"),)}).with_revision()
    for config, why in (
        (GatewayConfig(active=broken).model_dump(mode="json"), "defaultLadder: there is no model ghost"),
        ({"active": {"portfolio": "x"}}, "active.models: Field required"),
        (
            {"active": SMALL_LARGE.model_dump(mode="json") | {"revision": "0"}},
            "revision 0 is not that of its content",
        ),
    ):
        await portfolio.process.reconfigure(config)
        state = await portfolio.client.get("/internal/state", headers={"x-folio-token": TOKEN})
        mine = state.json()["replicas"][0]
        assert mine["revision"] == SMALL_LARGE.revision
        assert mine["rejected"].startswith(why)
        assert (await portfolio.chat()).status_code == 200


async def test_an_edit_learns_again_only_what_it_changed(portfolio: Portfolio) -> None:
    def table(*examples: str, ladder: str) -> Table:
        intent = Intent(name="code", examples=examples, ladder=(rung(ladder),), on_exhausted="ReturnBest")
        return table_of(own_model("small"), own_model("large"), ladder=(rung("small"),), intents=(intent,))

    learned = []
    for edit in (
        table("a stack trace", "it crashes", ladder="small"),
        table("a stack trace", "it crashes", ladder="large"),
        table("a stack trace", "it hangs", ladder="large"),
    ):
        await portfolio.apply(edit)
        assert portfolio.process.keeper.active.table.revision == edit.revision
        learned.append(portfolio.process.keeper.active.learned.classifier)
    assert learned[0] is not None
    assert learned[0] is learned[1]
    assert learned[1] is not learned[2]


async def test_models_lists_the_portfolio_its_intents_and_its_specialists(portfolio: Portfolio) -> None:
    listed = (await portfolio.client.get("/v1/models")).json()
    assert [one["id"] for one in listed["data"]] == [
        "folio",
        "folio/code",
        "folio/sure",
        "small",
        "large",
        "vectors",
    ]
    assert (await portfolio.client.get("/v1/models/folio/code")).json()["folio"] == {"ladder": ["large"]}


async def test_a_decision_is_explained_without_asking_a_model(portfolio: Portfolio) -> None:
    body = {"model": "folio", "messages": [{"role": "user", "content": "a traceback"}]}
    told = (await portfolio.client.post("/v1/folio/route", json=body)).json()
    assert (told["intent"], told["source"], told["matched"]) == ("code", "keyword", "traceback")
    assert [one["model"] for one in told["ladder"]] == ["large"]
    assert portfolio.models.asked == []


async def test_who_is_not_cleared_is_never_asked_by_any_path(portfolio: Portfolio) -> None:
    secret = DataClass(name="secret", detectors=("Email",))
    cleared = own_model("large", clearances=("secret",))
    table = table_of(
        own_model("small"), cleared, ladder=(rung("small", 0.6), rung("large")), data_classes=(secret,)
    )
    await portfolio.apply(table)
    text = "write to jane.doe@example.com"
    assert (await portfolio.chat(text)).headers["x-folio-model"] == "large"
    refused = await portfolio.chat(text, model="small")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "NotCleared")
    assert portfolio.models.names() == ["large"]


async def test_an_embedding_never_goes_to_another_model(portfolio: Portfolio) -> None:
    portfolio.models.plays["vectors"] = Plays(status=500)
    answer = await portfolio.client.post("/v1/embeddings", json={"model": "folio", "input": "hi"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "UpstreamError")
    assert portfolio.models.names() == ["vectors"]


async def test_the_deadline_is_a_504_without_a_draft(portfolio: Portfolio) -> None:
    hasty = SMALL_LARGE.model_copy(update={"limits": Limits(deadline_seconds=0.2)}).with_revision()
    await portfolio.apply(hasty)
    portfolio.models.plays["small"] = Plays(seconds=5)
    answer = await portfolio.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "Deadline")


async def test_an_engines_own_400_is_returned_at_once(portfolio: Portfolio) -> None:
    portfolio.models.plays["small"] = Plays(status=400, error="no such sampling")
    answer = await portfolio.chat()
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "no such sampling")
    assert portfolio.models.names() == ["small"]


async def test_a_400_for_length_hands_on(portfolio: Portfolio) -> None:
    portfolio.models.plays["small"] = Plays(status=400, error="maximum context length is 128 tokens")
    answer = await portfolio.chat()
    assert answer.headers["x-folio-attempts"] == "small:TooLong,large"


async def test_a_named_model_without_a_replica_is_a_503_that_says_when_to_come_back(
    portfolio: Portfolio,
) -> None:
    portfolio.replicas.put("model-small", Address("dead", "127.0.0.1", 1))
    answer = await portfolio.chat(model="small")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "Unavailable")
    assert answer.headers["retry-after"] == "2"
    assert (await portfolio.chat()).headers["x-folio-attempts"] == "small:Unavailable,large"


async def test_replicas_that_serve_stops_naming_are_asked_on_until_they_refuse(portfolio: Portfolio) -> None:
    portfolio.replicas.put("model-small")
    assert (await portfolio.chat()).headers["x-folio-model"] == "small"
    portfolio.replicas.put("model-small", Address("dead", "127.0.0.1", 1))
    portfolio.replicas.put("model-small")
    assert (await portfolio.chat()).headers["x-folio-attempts"] == "small:Unavailable,large"
    assert portfolio.process.keeper.active.backends["small"].pool.addresses == ()


async def test_a_sleeping_model_is_woken_once_while_the_next_rung_answers(portfolio: Portfolio) -> None:
    sleeper = own_model("sleeper", scales_to_zero=True)
    await portfolio.apply(table_of(sleeper, own_model("large"), ladder=(rung("sleeper"), rung("large"))))
    portfolio.replicas.put("model-sleeper")
    answers = await asyncio.gather(*(portfolio.chat() for _ in range(5)))
    assert {answer.headers["x-folio-attempts"] for answer in answers} == {"sleeper:Waking,large"}
    assert portfolio.process.fleet.waking("model-sleeper")
    portfolio.replicas.put("model-sleeper", portfolio.address("model-sleeper"))
    await asyncio.sleep(0.2)
    assert not portfolio.process.fleet.waking("model-sleeper")
    assert (await portfolio.chat()).headers["x-folio-model"] == "sleeper"


async def test_the_log_has_one_line_a_request_and_no_word_of_it(portfolio: Portfolio) -> None:
    portfolio.models.plays["small"] = Plays("a very private answer")
    await portfolio.chat("a very private question")
    portfolio.process.app._answering.close()
    (line,) = portfolio.log.getvalue().splitlines()
    record = json.loads(line)
    assert (record["model"], record["status"], record["intent"]) == ("small", 200, "default")
    assert record["attempts"][0]["device_seconds"] == 1.0
    assert "private" not in line


async def test_a_log_line_waits_for_no_further_request(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "FLUSH_SECONDS", 0.02)
    await portfolio.chat()
    await asyncio.sleep(0.2)
    assert len(portfolio.log.getvalue().splitlines()) == 1
    await portfolio.chat()
    await asyncio.sleep(0.2)
    assert len(portfolio.log.getvalue().splitlines()) == 2


async def test_a_canary_that_fails_makes_the_model_failed_with_its_reason(portfolio: Portfolio) -> None:
    health, policy = portfolio.process.health, portfolio.process.keeper.active
    portfolio.models.plays["small"] = Plays(status=500, error="head_dim=16")
    await asyncio.gather(*(health._try(backend) for backend in policy.backends.values()))
    states = {state.name: state for state in health.states(policy)}
    assert (states["small"].state, states["small"].served_by) == ("Failed", "large")
    assert "head_dim=16" in states["small"].message
    assert states["large"].state == states["vectors"].state == "Ready"
    asked = {body["model"]: body for body in portfolio.models.asked}
    assert asked["large"]["max_tokens"] == 1
    assert asked["vectors"]["input"] == "canary"
    await canary(policy.backends["large"])


async def test_a_candidate_s_models_are_asked_for_a_canary_before_anybody_asks_them(
    portfolio: Portfolio,
) -> None:
    first = table_of(own_model("small"), ladder=(rung("small"),))
    moved = own_model("small", application="model-small_2", identity="small-2")
    second = table_of(moved, ladder=(rung("small"),))
    await portfolio.apply(first)
    await portfolio.apply(first, candidate=second)
    portfolio.replicas.put("model-small_2", portfolio.address("model-small"))

    health = portfolio.process.health
    before = [state.state for state in portfolio.process.reporter.own().candidate_models]
    await asyncio.gather(*(health._try(backend) for backend in health._due()))
    told = portfolio.process.reporter.own()

    assert before == ["Loading"]
    assert (told.revision, told.candidate) == (first.revision, second.revision)
    assert [state.state for state in told.candidate_models] == ["Ready"]
    assert [state.state for state in told.models] == ["Ready"]
    assert len(portfolio.models.asked) == 2
    assert (await portfolio.chat()).headers["x-folio-revision"] == first.revision


async def test_how_long_a_model_does_not_answer_is_told_until_it_does(
    portfolio: Portfolio,
) -> None:
    health = portfolio.process.health
    health._note_silence(time.monotonic() - 5)
    await asyncio.gather(
        *(health._try(backend) for backend in health._due() if backend.model.name != "small")
    )
    health._note_silence(time.monotonic())
    (waiting,) = portfolio.process.reporter.own().waiting_seconds.items()
    assert waiting[0] == "small"
    assert waiting[1] >= 5
    await asyncio.gather(*(health._try(backend) for backend in health._due()))
    health._note_silence(time.monotonic())
    assert portfolio.process.reporter.own().waiting_seconds == {}

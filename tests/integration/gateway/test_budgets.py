"""Budgets at the gateway's door: what is let through, what is refused and how, and what is told of it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.integration.gateway.conftest import TOKEN, Plays, Portfolio, own_model, rung, table_of

from folio_api.table import Budget, GatewayState, Intent, Model, Price, Table
from folio_serving import leases
from folio_serving.budget import Grant, Report
from folio_serving.counter import OwnCounter

DAY = 86_400.0
CHEAP = Price(usd_per_million_input_tokens=1, usd_per_million_output_tokens=1)
DEAR = Price(usd_per_million_input_tokens=100, usd_per_million_output_tokens=100)


def budget(unit: str, limit: float, **fields: Any) -> Budget:
    defaults = {"name": "day", "scope": "Portfolio", "window_seconds": DAY}
    return Budget(unit=unit, limit=limit, **(defaults | fields))  # type: ignore[arg-type]


def table(*budgets: Budget, models: tuple[Model, ...] | None = None) -> Table:
    return table_of(
        *(models or (own_model("small", price=CHEAP), own_model("large", price=DEAR))),
        ladder=(rung("small", 0.6), rung("large")),
        intents=(
            Intent(name="code", keywords=("traceback",), ladder=(rung("large"),), on_exhausted="ReturnBest"),
        ),
        budgets=budgets,
    )


async def asked(portfolio: Portfolio, times: int, text: str = "hi", **fields: Any) -> list[int]:
    return [(await portfolio.chat(text, **fields)).status_code for _ in range(times)]


async def state(portfolio: Portfolio) -> GatewayState:
    answer = await portfolio.client.get("/internal/state", headers={"x-folio-token": TOKEN})
    return GatewayState.model_validate_json(answer.content)


async def test_requests_beyond_the_budget_are_429_with_the_time_to_wait(portfolio: Portfolio) -> None:
    await portfolio.apply(table(budget("requests", 3)))
    assert await asked(portfolio, 3) == [200, 200, 200]
    refused = await portfolio.chat()
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert "budget day is spent: 3 requests" in refused.json()["error"]["message"]
    assert 0 < int(refused.headers["retry-after"]) <= DAY
    assert refused.headers["x-folio-reason"] == "OverBudget"
    assert len(portfolio.models.asked) == 3


async def test_a_request_takes_one_of_a_budget_in_requests_however_many_rungs_it_asks(
    portfolio: Portfolio,
) -> None:
    portfolio.models.plays["small"] = Plays(mean=0.1)
    await portfolio.apply(table(budget("requests", 2)))
    assert await asked(portfolio, 3) == [200, 200, 429]
    assert portfolio.models.names() == ["small", "large"] * 2


async def test_a_budget_in_tokens_counts_what_was_read_and_written(portfolio: Portfolio) -> None:
    await portfolio.apply(table(budget("tokens", 100)))
    # Each reserves 5 + 40 and comes to 7 + 5: the sixth finds 40 left.
    assert await asked(portfolio, 6, max_tokens=40) == [200] * 5 + [429]
    assert await asked(portfolio, 1, max_tokens=20) == [200]


async def test_a_budget_in_usd_is_402_without_a_time_to_wait(portfolio: Portfolio) -> None:
    await portfolio.apply(table(budget("usd", 0.00003)))
    assert await asked(portfolio, 1, max_tokens=10) == [200]
    refused = await portfolio.chat(max_tokens=100)
    assert refused.status_code == 402
    assert refused.json()["error"]["type"] == "insufficient_quota"
    assert "retry-after" not in refused.headers


async def test_a_stream_is_refused_by_its_status(portfolio: Portfolio) -> None:
    await portfolio.apply(table(budget("requests", 0)))
    refused = await portfolio.chat(stream=True)
    assert (refused.status_code, refused.headers["content-type"]) == (429, "application/json")


async def test_a_rung_that_does_not_fit_is_passed_over_and_the_draft_is_returned(
    portfolio: Portfolio,
) -> None:
    portfolio.models.plays["small"] = Plays("a draft", mean=0.1)
    await portfolio.apply(table(budget("usd", 0.001)))
    answer = await portfolio.chat(max_tokens=100)
    assert answer.json()["choices"][0]["message"]["content"] == "a draft"
    assert answer.headers["x-folio-attempts"] == "small:NotConfident,large:OverBudget"


async def test_cheapest_asks_the_cheapest_rung_alone_once_the_budget_is_spent(portfolio: Portfolio) -> None:
    portfolio.models.plays["small"] = Plays("a draft", mean=0.1)
    await portfolio.apply(table(budget("requests", 1, on_exceeded="Cheapest")))
    assert (await portfolio.chat()).headers["x-folio-model"] == "large"
    for _ in range(3):
        answer = await portfolio.chat()
        assert answer.headers["x-folio-attempts"] == "small:NotConfident,large:OverBudget"
    assert (await state(portfolio)).replicas[0].budgets[0].used == 4


async def test_each_intent_has_a_budget_of_its_own(portfolio: Portfolio) -> None:
    await portfolio.apply(table(budget("requests", 1, scope="Intent")))
    assert await asked(portfolio, 2, "a traceback") == [200, 429]
    assert await asked(portfolio, 2, "hi") == [200, 429]


async def test_what_was_reserved_and_not_spent_is_there_for_the_next(portfolio: Portfolio) -> None:
    await portfolio.apply(table(budget("tokens", 1000)))
    statuses = await asked(portfolio, 10, max_tokens=900)
    assert statuses == [200] * 8 + [429] * 2
    assert (await state(portfolio)).replicas[0].budgets[0].used == 8 * 12


async def test_a_client_that_leaves_costs_what_was_reserved_for_it(portfolio: Portfolio) -> None:
    portfolio.models.plays["small"] = Plays(seconds=30)
    await portfolio.apply(table(budget("tokens", 1000)))
    asking = asyncio.create_task(portfolio.chat(max_tokens=400))
    while not portfolio.models.running:  # noqa: ASYNC110 - the models tell nobody
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await state(portfolio)).replicas[0].budgets[0].used == pytest.approx(405, abs=10)


class Silent(OwnCounter):
    """A counter that may stop answering."""

    answers = True
    asked = 0

    async def exchange(self, replica: str, reports: tuple[Report, ...]) -> tuple[Grant, ...]:
        self.asked += 1
        if not self.answers:
            raise ConnectionError("no counter")
        return await super().exchange(replica, reports)


@pytest.fixture
def silent(portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch) -> Silent:
    counter = Silent()
    monkeypatch.setattr(portfolio.process.leases, "_counter", counter)
    return counter


@pytest.mark.parametrize(("on_exceeded", "statuses"), [("Refuse", [429, 429]), ("Cheapest", [200, 200])])
async def test_without_a_counter_on_exceeded_applies(
    portfolio: Portfolio, silent: Silent, on_exceeded: str, statuses: list[int]
) -> None:
    silent.answers = False
    portfolio.models.plays["small"] = Plays(mean=0.1)
    await portfolio.apply(table(budget("requests", 100, on_exceeded=on_exceeded)))
    assert await asked(portfolio, 2) == statuses
    assert "large" not in portfolio.models.names()
    assert (await state(portfolio)).replicas[0].budgets[0].counted is False
    silent.answers = True
    await asyncio.sleep(leases.DOWN_SECONDS)
    assert (await portfolio.chat()).headers["x-folio-model"] == "large"


async def test_a_refusal_tells_a_counter_that_does_not_answer_from_a_budget_that_is_spent(
    portfolio: Portfolio, silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    await portfolio.apply(table(budget("requests", 1000)))
    assert await asked(portfolio, 3) == [200] * 3
    silent.answers = False
    answers = await asyncio.gather(*(portfolio.chat() for _ in range(200)))
    refused = [each for each in answers if each.status_code == 429]
    assert refused
    said = {each.json()["error"]["message"] for each in refused}
    assert said == {
        "budget day cannot be counted now: its counter does not answer, and onExceeded (Refuse) applies"
    }
    assert {each.headers["retry-after"] for each in refused} == {"1"}
    assert (await state(portfolio)).replicas[0].budgets[0].counted is True, "it may be back at once"
    later = time.monotonic() + leases.SILENT_SECONDS
    monkeypatch.setattr(portfolio.process.leases, "_clock", lambda: later)
    assert (await state(portfolio)).replicas[0].budgets[0].counted is False


async def test_a_model_that_costs_nothing_is_asked_without_a_counter(
    portfolio: Portfolio, silent: Silent
) -> None:
    silent.answers = False
    free = (own_model("small", price=Price()), own_model("large", price=DEAR))
    await portfolio.apply(table(budget("usd", 1), models=free))
    assert await asked(portfolio, 2) == [200, 200]


async def test_a_hundred_requests_at_once_need_few_words_with_the_counter(
    portfolio: Portfolio, silent: Silent
) -> None:
    await portfolio.apply(table(budget("requests", 60)))
    answers = await asyncio.gather(*(portfolio.chat() for _ in range(100)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(429)) == (60, 40)
    assert silent.asked < 20


async def test_a_portfolio_without_budgets_never_asks_the_counter(
    portfolio: Portfolio, silent: Silent
) -> None:
    await portfolio.apply(table())
    assert await asked(portfolio, 3) == [200, 200, 200]
    assert silent.asked == 0


async def test_metrics_tell_what_is_used_and_how_often_a_budget_was_met(portfolio: Portfolio) -> None:
    await portfolio.apply(table(budget("requests", 1), budget("usd", 50, name="month", scope="Intent")))
    await asked(portfolio, 2)
    text = (await portfolio.client.get("/metrics")).text
    assert 'folio_budget_used{budget="day",subject="",unit="requests"} 1.0' in text
    assert 'folio_budget_limit{budget="month",subject="default",unit="usd"} 50.0' in text
    assert 'folio_budget_exceeded_total{budget="day",outcome="Refused"} 1.0' in text


async def test_another_limit_counts_on_and_another_window_begins_anew(portfolio: Portfolio) -> None:
    await portfolio.apply(table(budget("requests", 1)))
    assert await asked(portfolio, 2) == [200, 429]
    await portfolio.apply(table(budget("requests", 3)))
    await asyncio.sleep(0.3)
    assert await asked(portfolio, 3) == [200, 200, 429]
    await portfolio.apply(table(budget("requests", 1, window_seconds=3600)))
    assert await asked(portfolio, 2) == [200, 429]

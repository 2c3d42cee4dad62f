"""Chat through the whole gateway: who answers, what the client is told, what it cost."""

from __future__ import annotations

from tests.integration.gateway.conftest import TOKEN, Portfolio
from tests.integration.gateway.models import Plays


async def test_a_sure_answer_of_the_first_rung_is_the_answer(portfolio: Portfolio) -> None:
    portfolio.models.plays["small"] = Plays("four", mean=0.8)
    answer = await portfolio.chat("2+2?")
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "four"
    assert answer.json()["model"] == "small"
    assert portfolio.models.names() == ["small"]
    told = answer.headers
    assert told["x-folio-model"] == "small"
    assert told["x-folio-rung"] == "0"
    assert told["x-folio-reason"] == "Accepted"
    assert told["x-folio-confidence"] == "0.8000"
    assert told["x-folio-intent"] == "default"
    assert told["x-folio-revision"] == portfolio.process.keeper.active.table.revision


async def test_an_unsure_answer_goes_to_the_next_rung_and_both_are_paid(portfolio: Portfolio) -> None:
    portfolio.models.plays |= {"small": Plays("5?", mean=0.3), "large": Plays("four")}
    answer = await portfolio.chat("2+2?")
    assert answer.json()["choices"][0]["message"]["content"] == "four"
    assert portfolio.models.names() == ["small", "large"]
    assert answer.headers["x-folio-attempts"] == "small:NotConfident,large"
    each = (7 * 10 + 5 * 20) / 1_000_000
    assert float(answer.headers["x-folio-cost"]) == 2 * each


async def test_replicas_get_the_token_and_are_asked_for_signals(portfolio: Portfolio) -> None:
    await portfolio.chat()
    told = portfolio.models.headers[0]
    assert told["x-folio-token"] == TOKEN
    assert told["x-folio-signals"] == "logprobs"

"""A classifier that is a model: its calls cost like a rung's, and are held to the same limits."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.integration.gateway.conftest import Portfolio, own_model, rung, table_of
from tests.integration.gateway.models import Plays
from tests.integration.gateway.test_lying import saying

from folio_api.table import Classifier, DataClass, External, Intent, Limits, Model, Table
from folio_serving.classify.opinion import Opinion

CALL_USD = (7 * 10 + 5 * 20) / 1_000_000
INTENTS = tuple(
    Intent(name=name, examples=examples, ladder=(rung(name),), on_exhausted="ReturnBest")
    for name, examples in (
        ("money", ("pay the bill", "an invoice of ours", "send them the money")),
        ("code", ("fix this function", "why does the test fail", "write a loop")),
    )
)


SORTER = own_model("sorter", engine="encoder", tasks=("Classification", "Embedding"))


def sorted_by_model(classifier: Classifier | None = None, sorter: Model = SORTER, **fields: Any) -> Table:
    """Return a table whose intents `sorter` names, a model with a clearance for nothing."""
    answering = [own_model(name, clearances=("secret",)) for name in ("money", "code", "other")]
    return table_of(
        sorter,
        *answering,
        ladder=(rung("other"),),
        intents=INTENTS,
        classifier=classifier or Classifier(type="Model", model="sorter"),
        **fields,
    )


async def metrics(portfolio: Portfolio) -> str:
    return (await portfolio.client.get("/metrics")).text


async def test_its_word_decides_and_is_paid_for(portfolio: Portfolio) -> None:
    await portfolio.apply(sorted_by_model())
    portfolio.models.plays["sorter"] = Plays("code", score=0.9)
    answer = await portfolio.chat("hello")
    assert answer.headers["x-folio-intent"] == "code"
    assert answer.headers["x-folio-attempts"] == "sorter,code"
    assert float(answer.headers["x-folio-cost"]) == 2 * CALL_USD
    portfolio.process.app._answering.close()
    record = json.loads(portfolio.log.getvalue())
    assert record["cost_usd"] == 2 * CALL_USD
    told = record["attempts"][0]
    assert (told["model"], told["role"], told["prompt_tokens"], told["completion_tokens"]) == (
        "sorter",
        "classifier",
        7,
        5,
    )
    assert told["device_seconds"] == 1.0


async def test_its_cost_has_a_label_of_its_own(portfolio: Portfolio) -> None:
    await portfolio.apply(sorted_by_model())
    portfolio.models.plays["sorter"] = Plays("code", score=0.9)
    await portfolio.chat("hello")
    told = await metrics(portfolio)
    assert f'folio_cost_usd_total{{role="classifier",rung="sorter"}} {CALL_USD}' in told
    assert f'folio_cost_usd_total{{role="rung",rung="code"}} {CALL_USD}' in told
    assert 'folio_device_seconds_total{device="cpu",role="classifier",rung="sorter"} 1.0' in told
    assert (
        'gen_ai_client_token_usage_sum{gen_ai_response_model="sorter",gen_ai_token_type="input",role="classifier"} 7.0'
        in told
    )


async def test_an_embedder_that_classifies_is_paid_for(portfolio: Portfolio) -> None:
    await portfolio.apply(sorted_by_model(Classifier(type="MiniLM", model="sorter")))
    consultant = portfolio.process.keeper.active.learned.consultant
    consultant._judge = Says("code")
    answer = await portfolio.chat("hello")
    assert answer.headers["x-folio-attempts"] == "sorter,code"
    assert float(answer.headers["x-folio-cost"]) == 2 * CALL_USD


async def test_a_provider_that_sorts_and_tells_no_usage_is_paid_for_by_a_guess(portfolio: Portfolio) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "code"}, "finish_reason": "stop"}
    said = json.dumps({"model": "m", "choices": [choice]}).encode()
    async with saying(said, "application/json") as port:
        outside = External(base_url=f"http://127.0.0.1:{port}/v1", model="m")
        sorter = own_model("sorter", engine="external", application=None, external=outside)
        await portfolio.apply(sorted_by_model(sorter=sorter))
        portfolio.process.health.close()
        answer = await portfolio.chat("hello")
    assert answer.headers["x-folio-attempts"] == "sorter,code"
    portfolio.process.answering.close()
    told = json.loads(portfolio.log.getvalue())["attempts"][0]
    assert told["estimated"]
    assert told["prompt_tokens"] > 20, "the names of the intents and the question"
    assert told["completion_tokens"] == 2


async def test_an_explanation_pays_for_it_too(portfolio: Portfolio) -> None:
    await portfolio.apply(sorted_by_model())
    portfolio.models.plays["sorter"] = Plays("code", score=0.9)
    body = {"model": "folio", "messages": [{"role": "user", "content": "hello"}]}
    assert (await portfolio.client.post("/v1/folio/route", json=body)).json()["intent"] == "code"
    assert f'role="classifier",rung="sorter"}} {CALL_USD}' in await metrics(portfolio)


async def test_one_that_is_too_dear_is_not_asked_and_the_examples_decide(portfolio: Portfolio) -> None:
    limits = Limits(max_cost_per_query_usd=0.0003)
    await portfolio.apply(sorted_by_model(limits=limits))
    answer = await portfolio.chat("pay the bill, an invoice of ours", max_tokens=1)
    assert portfolio.models.names() == ["money"]
    assert answer.headers["x-folio-intent"] == "money"
    assert answer.headers["x-folio-attempts"] == "sorter:OverBudget,money"
    assert float(answer.headers["x-folio-cost"]) == CALL_USD


async def test_what_it_cost_counts_against_the_limit_of_the_ladder(portfolio: Portfolio) -> None:
    limits = Limits(max_cost_per_query_usd=0.0015)
    dear = Plays("code", score=0.9, prompt=150)
    await portfolio.apply(sorted_by_model(limits=limits))
    portfolio.models.plays["sorter"] = dear
    answer = await portfolio.chat("hello", max_tokens=1)
    assert answer.status_code == 402
    assert portfolio.models.names() == ["sorter"]
    assert float(answer.headers["x-folio-cost"]) == (150 * 10 + 5 * 20) / 1_000_000


async def test_the_deadline_ends_its_call_and_what_it_took_is_booked(portfolio: Portfolio) -> None:
    await portfolio.apply(sorted_by_model(limits=Limits(deadline_seconds=0.3)))
    portfolio.models.plays["sorter"] = Plays("code", seconds=1.5)
    answer = await portfolio.chat("hello")
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "Deadline")
    assert answer.headers["x-folio-attempts"] == "sorter:Timeout"
    assert float(answer.headers["x-folio-cost"]) > 0
    await asyncio.sleep(0.2)
    assert portfolio.models.running == 0


async def test_who_is_not_cleared_does_not_classify(portfolio: Portfolio) -> None:
    secret = DataClass(name="secret", detectors=("Email",))
    await portfolio.apply(sorted_by_model(data_classes=(secret,)))
    answer = await portfolio.chat("pay the bill of jane.doe@example.com, an invoice of ours")
    assert answer.headers["x-folio-attempts"] == "money"
    assert portfolio.models.names() == ["money"]


async def test_one_that_sleeps_is_woken_and_stood_in_for(portfolio: Portfolio) -> None:
    table = sorted_by_model()
    asleep = table.models[0].model_copy(update={"scales_to_zero": True})
    await portfolio.apply(table.model_copy(update={"models": (asleep, *table.models[1:])}).with_revision())
    portfolio.replicas.put("model-sorter")
    answer = await portfolio.chat("pay the bill, an invoice of ours")
    assert answer.headers["x-folio-attempts"] == "sorter:Waking,money"
    assert portfolio.process.fleet.waking("model-sorter")


class Says:
    """A head over vectors that always says the same."""

    def __init__(self, label: str) -> None:
        self._label = label

    def classify_vector(self, vector: list[float]) -> Opinion:
        assert vector == [0.6, 0.8]
        return Opinion(self._label, 0.9)

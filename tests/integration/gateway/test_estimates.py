"""What a request may cost is known before it is asked, however many prompts it holds."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.gateway.conftest import Portfolio, own_model, rung, table_of

from folio_api.table import Limits

# A prompt of a word and 100 tokens for its answer cost 0.002 USD at the models' price.
TABLE = table_of(
    own_model("small"),
    own_model("vectors", tasks=("Embedding",), features=()),
    ladder=(rung("small"),),
    limits=Limits(max_cost_per_query_usd=0.02),
)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/completions", {"prompt": ["hi"] * 500}),
        ("/v1/completions", {"prompt": [[1, 2]] * 500}),
        ("/v1/completions", {"prompt": "hi", "best_of": 128}),
        ("/v1/completions", {"prompt": "hi", "n": 64}),
        ("/v1/embeddings", {"model": "vectors", "input": ["hi there"] * 5000}),
        ("/v1/embeddings", {"model": "vectors", "input": [[1, 2, 3]] * 5000}),
    ],
)
async def test_many_prompts_cost_more_than_one(
    portfolio: Portfolio, path: str, fields: dict[str, Any]
) -> None:
    await portfolio.apply(TABLE)
    answer = await portfolio.client.post(path, json={"model": "folio", "max_tokens": 100, **fields})
    assert answer.status_code == 402
    assert answer.json()["error"]["code"] == "OverBudget"
    assert portfolio.models.names() == []


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/completions", {"prompt": ["hi"] * 5}),
        ("/v1/completions", {"prompt": [1, 2, 3] * 100}),
        ("/v1/embeddings", {"model": "vectors", "input": ["hi there"] * 50}),
    ],
)
async def test_a_few_prompts_are_asked(portfolio: Portfolio, path: str, fields: dict[str, Any]) -> None:
    await portfolio.apply(TABLE)
    answer = await portfolio.client.post(path, json={"model": "folio", "max_tokens": 100, **fields})
    assert answer.status_code == 200

"""What may be told to a model beside its messages is read for data classes too, for it passes through."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.gateway.conftest import Portfolio, own_model, rung, table_of

from folio_api.table import DataClass, HeaderMatch

SECRET = DataClass(
    name="secret", detectors=("Email",), headers=(HeaderMatch(name="x-data-class", value="secret"),)
)
FIRST = own_model("first")
OURS = own_model("ours", clearances=("secret",))
TABLE = table_of(FIRST, OURS, ladder=(rung("first"), rung("ours")), data_classes=(SECRET,))
HIDDEN = "ann@example.org"
MESSAGE = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    "fields",
    [
        {"user": HIDDEN},
        {"metadata": {"from": HIDDEN}},
        {"prediction": {"type": "content", "content": HIDDEN}},
        {"documents": [{"text": HIDDEN}]},
        {"stop": [HIDDEN]},
        {"tools": [{"type": "function", "function": {"name": "f", "description": HIDDEN}}]},
        {"messages": [{**MESSAGE, "name": HIDDEN}]},
        {"messages": [MESSAGE, {"role": "assistant", "content": "", "reasoning_content": HIDDEN}, MESSAGE]},
        {"messages": [MESSAGE, {"role": "assistant", "function_call": {"name": "f", "arguments": HIDDEN}}]},
        {"messages": [{"role": "user", "content": "ann\u200b@exam\u2063ple.org"}]},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_no_member_of_a_chat_hides_a_text(portfolio: Portfolio, fields: dict[str, Any]) -> None:
    await portfolio.apply(TABLE)
    answer = await portfolio.chat(**fields)
    assert answer.status_code == 200
    assert portfolio.models.names() == ["ours"]


async def test_a_plain_chat_is_of_no_class(portfolio: Portfolio) -> None:
    await portfolio.apply(TABLE)
    await portfolio.chat(temperature=0, max_tokens=5)
    assert portfolio.models.names() == ["first"]


async def test_a_prompt_of_token_ids_cannot_be_read_and_is_of_every_class_with_detectors(
    portfolio: Portfolio,
) -> None:
    await portfolio.apply(TABLE)
    body = {"model": "folio", "prompt": [1, 2, 3]}
    assert (await portfolio.client.post("/v1/completions", json=body)).status_code == 200
    assert portfolio.models.names() == ["ours"]


@pytest.mark.parametrize("values", [("secret", "public"), ("public", "secret"), ("public,secret",)])
async def test_a_second_header_does_not_take_a_class_away(
    portfolio: Portfolio, values: tuple[str, ...]
) -> None:
    await portfolio.apply(TABLE)
    body = {"model": "folio", "messages": [MESSAGE]}
    headers = [("x-data-class", value) for value in values]
    await portfolio.client.post("/v1/chat/completions", json=body, headers=headers)
    assert portfolio.models.names() == ["ours"]

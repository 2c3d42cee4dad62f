"""The `openai` client against a running portfolio: it notices no difference, and finds ours in the headers."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageFunctionToolCall
from tests.data_plane.portfolio.conftest import MODELS, Running

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"size": {"enum": ["small", "large"]}},
    "required": ["size"],
    "additionalProperties": False,
}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "size", "schema": SCHEMA, "strict": True}}
TOOL: Any = {"type": "function", "function": {"name": "choose", "parameters": SCHEMA, "strict": True}}
NAMED: Any = {"type": "function", "function": {"name": "choose"}}
SMALLEST: Any = [{"role": "user", "content": "Ask the smallest model first"}]
BICYCLE: Any = [{"role": "user", "content": "my bicycle is late"}]


def chosen(portfolio: Running, model: str) -> ChatCompletion:
    """Have a model call the tool."""
    return portfolio.openai.chat.completions.create(
        model=model, messages=SMALLEST, tools=[TOOL], tool_choice=NAMED, max_tokens=512, temperature=0
    )


def call_in(answer: ChatCompletion) -> ChatCompletionMessageFunctionToolCall:
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    (call,) = calls
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    return call


def after_the_tool(call: ChatCompletionMessageFunctionToolCall) -> Any:
    """Return the conversation that goes on with the tool's result."""
    said = {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]}
    return [*SMALLEST, said, {"role": "tool", "tool_call_id": call.id, "content": "done"}]


def test_a_chat_is_answered_by_the_cheapest_model_that_is_sure(portfolio: Running) -> None:
    answer = portfolio.openai.chat.completions.create(model="folio", messages=BICYCLE)
    assert answer.choices[0].message.content == "rental"
    assert answer.model == "sorter"
    assert answer.choices[0].finish_reason == "stop"


def test_headers_tell_who_answered_and_why(portfolio: Running) -> None:
    raw = portfolio.openai.chat.completions.with_raw_response.create(
        model="folio", messages=SMALLEST, max_tokens=4, extra_headers={"x-folio-request-id": "mine-1"}
    )
    assert raw.headers["x-folio-attempts"] == "sorter:NotConfident,writer"
    assert raw.headers["x-folio-model"] == "writer"
    assert raw.headers["x-folio-rung"] == "1"
    assert raw.headers["x-folio-intent"] == "default"
    assert raw.headers["x-folio-reason"] == "Accepted"
    assert raw.headers["x-folio-request-id"] == "mine-1"
    assert raw.headers["x-folio-revision"] == portfolio.state()["replicas"][0]["revision"]
    assert float(raw.headers["x-folio-cost"]) > 0
    usage = raw.parse().usage
    assert usage is not None
    assert usage.completion_tokens == 4


def test_a_stream_says_what_the_whole_answer_says_and_ends_with_its_usage(portfolio: Running) -> None:
    options: dict[str, Any] = {"model": "writer", "messages": SMALLEST, "max_tokens": 24, "temperature": 0}
    whole = portfolio.openai.chat.completions.create(**options)
    stream = portfolio.openai.chat.completions.create(
        **options, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = stream
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == whole.choices[0].message.content
    assert len([piece for piece in pieces if piece]) > 1
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 24
    assert chunks[-1].choices[0].finish_reason == "length"


def test_a_stream_without_the_option_has_no_usage(portfolio: Running) -> None:
    stream = portfolio.openai.chat.completions.create(model="folio", messages=BICYCLE, stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "rental"
    assert all(chunk.usage is None for chunk in chunks)


def test_a_tool_reaches_the_model_that_can_call_it(portfolio: Running) -> None:
    answer = chosen(portfolio, "folio")
    assert answer.model == "writer"
    call = call_in(answer)
    assert call.function.name == "choose"
    assert json.loads(call.function.arguments)["size"] in {"small", "large"}


def test_a_streamed_tool_call_comes_in_pieces_of_one_call(portfolio: Running) -> None:
    stream = portfolio.openai.chat.completions.create(
        model="folio",
        messages=SMALLEST,
        tools=[TOOL],
        tool_choice=NAMED,
        max_tokens=512,
        temperature=0,
        stream=True,
    )
    calls = [call for chunk in stream for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert {call.index for call in calls} == {0}
    assert "".join((call.function and call.function.name) or "" for call in calls) == "choose"
    arguments = "".join((call.function and call.function.arguments) or "" for call in calls)
    assert json.loads(arguments)["size"] in {"small", "large"}


def test_a_tools_result_goes_back_to_the_model_that_called_it(portfolio: Running) -> None:
    call = call_in(chosen(portfolio, "legal"))
    options: dict[str, Any] = {"model": "folio", "tools": [TOOL], "max_tokens": 4}
    completions = portfolio.openai.chat.completions.with_raw_response
    asked = completions.create(messages=SMALLEST, **options)
    told = completions.create(messages=after_the_tool(call), **options)
    assert asked.headers["x-folio-model"] == "writer"
    assert told.headers["x-folio-model"] == "legal"


def test_a_structured_answer_keeps_to_its_schema(portfolio: Running) -> None:
    raw = portfolio.openai.chat.completions.with_raw_response.create(
        model="folio", messages=BICYCLE, response_format=FORMAT, max_tokens=256, temperature=0
    )
    assert raw.headers["x-folio-model"] == "writer", "the sorter, though sure, writes no JSON"
    assert json.loads(raw.parse().choices[0].message.content or "")["size"] in {"small", "large"}


def test_embeddings_are_vectors_of_one_length_whatever_their_encoding(portfolio: Running) -> None:
    texts = ["a red bicycle", "a bike that is red", "the annual report"]
    packed = portfolio.openai.embeddings.create(model="vectors", input=texts)
    plain = portfolio.openai.embeddings.create(model="vectors", input=texts, encoding_format="float")
    first, near, far = (one.embedding for one in packed.data)
    assert first == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert dot(first, near) > dot(first, far) + 0.2
    assert packed.usage.prompt_tokens > 0


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_every_name_that_can_be_asked_is_listed(portfolio: Running) -> None:
    names = [model.id for model in portfolio.openai.models.list()]
    assert names == ["folio", "folio/sort", "folio/write", *sorted(MODELS)]
    assert portfolio.openai.models.retrieve("writer").owned_by == "desk"


def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(portfolio: Running) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        portfolio.openai.chat.completions.create(model="ghost", messages=BICYCLE)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "model ghost does not exist; there are: folio, folio/sort, folio/write" in caught.value.message


def test_an_impossible_field_is_a_bad_request_that_names_it(portfolio: Running) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        portfolio.openai.chat.completions.create(model="folio", messages=BICYCLE, temperature=9)
    assert (caught.value.code, caught.value.param) == ("invalid_request", "temperature")
    assert "temperature must be a number from 0 to 2" in caught.value.message


def test_a_request_that_fits_no_model_is_a_bad_request(portfolio: Running) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        portfolio.openai.chat.completions.create(model="writer", messages=SMALLEST, max_tokens=5000)
    assert "2048" in caught.value.message


def test_what_a_named_model_cannot_do_is_a_bad_request(portfolio: Running) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        portfolio.openai.embeddings.create(model="writer", input="a bicycle")
    assert (caught.value.code, caught.value.param) == ("unsupported", "model")

"""What a vLLM replica answers to the gateway: OpenAI's API untouched, and our signals beside it."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import pytest
from tests.data_plane.cluster import problems
from tests.data_plane.vllm.conftest import MISSING_PATH, WRONG_ARGUMENT, Model

from folio_serving.confidence import StreamReport, parse_comment, parse_signals

COMPLETION = "/v1/completions"
SCHEMA = {
    "type": "object",
    "properties": {"size": {"enum": ["small", "large"]}},
    "required": ["size"],
    "additionalProperties": False,
}


def lines(answer: httpx.Response) -> list[str]:
    return answer.text.removesuffix("\n\n").split("\n\n")


def reports(answer: httpx.Response) -> list[StreamReport]:
    return [report for line in lines(answer) if (report := parse_comment(line))]


def chunks(answer: httpx.Response) -> list[Any]:
    return [json.loads(line[6:]) for line in lines(answer) if line.startswith("data: {")]


def text_of(answer: httpx.Response) -> str:
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks(answer))


def test_a_chat_answers_under_the_models_name(model: Model) -> None:
    answer = model.ask().json()
    assert answer["model"] == "tiny"
    assert answer["usage"]["completion_tokens"] == 8
    assert answer["choices"][0]["logprobs"] is None


def test_signals_are_those_of_the_logprobs_that_the_engine_gives(model: Model) -> None:
    plain = model.ask(logprobs=True).json()["choices"][0]
    values = [token["logprob"] for token in plain["logprobs"]["content"]]
    asked = model.ask(signals="logprobs")
    signals = parse_signals(asked.headers["x-folio-signals"])
    assert signals.mean == pytest.approx(math.exp(sum(values) / len(values)), abs=1e-4)
    assert signals.min == pytest.approx(math.exp(min(values)), abs=1e-4)
    assert (signals.completion, signals.finish, signals.limit, signals.decoding) == (
        8,
        "length",
        True,
        "greedy",
    )
    assert signals.seconds is not None
    assert 0 < signals.seconds < 30
    assert asked.json()["choices"][0]["logprobs"] is None
    assert asked.json()["choices"][0]["message"]["content"] == plain["message"]["content"]


def test_logprobs_that_the_client_asked_for_reach_it(model: Model) -> None:
    answer = model.ask(signals="logprobs", logprobs=True, top_logprobs=2).json()
    tokens = answer["choices"][0]["logprobs"]["content"]
    assert [len(token["top_logprobs"]) for token in tokens] == [2] * 8


def test_a_completion_has_signals_too(model: Model) -> None:
    answer = model.ask(COMPLETION, prompt="Ask the smallest", signals="logprobs")
    signals = parse_signals(answer.headers["x-folio-signals"])
    assert signals.mean is not None
    assert signals.completion == 8
    assert answer.json()["choices"][0]["logprobs"] is None


def test_of_several_choices_the_least_sure_counts(model: Model) -> None:
    answer = model.ask(signals="logprobs", logprobs=True, n=2, temperature=1.0)
    means = [
        math.exp(
            sum(t["logprob"] for t in choice["logprobs"]["content"]) / len(choice["logprobs"]["content"])
        )
        for choice in answer.json()["choices"]
    ]
    assert parse_signals(answer.headers["x-folio-signals"]).mean == pytest.approx(min(means), abs=1e-4)


def test_a_stream_says_the_same_as_the_whole_answer(model: Model) -> None:
    whole = model.ask(signals="logprobs", max_tokens=24)
    streamed = model.ask(signals="logprobs;at=8", max_tokens=24, stream=True)
    assert text_of(streamed) == whole.json()["choices"][0]["message"]["content"]
    early, last = reports(streamed)
    expected = parse_signals(whole.headers["x-folio-signals"])
    assert (early.end, early.signals.n, last.end, last.signals.n) == (False, 8, True, 24)
    assert last.signals.mean == pytest.approx(expected.mean, abs=1e-4)
    assert (last.signals.prompt, last.signals.completion) == (expected.prompt, 24)
    assert lines(streamed)[-1] == "data: [DONE]"
    assert not any("usage" in chunk or chunk["choices"][0]["logprobs"] for chunk in chunks(streamed))


def test_a_stream_keeps_the_usage_and_the_logprobs_that_the_client_asked_for(model: Model) -> None:
    answer = model.ask(
        signals="logprobs;at=4", stream=True, logprobs=True, stream_options={"include_usage": True}
    )
    assert chunks(answer)[-1]["usage"]["completion_tokens"] == 8
    assert (
        sum(
            len(((c["choices"] and c["choices"][0]["logprobs"]) or {}).get("content", []))
            for c in chunks(answer)
        )
        == 8
    )


def test_an_unasked_stream_has_no_comment(model: Model) -> None:
    assert reports(model.ask(stream=True)) == []


def test_a_structured_answer_follows_its_schema(model: Model) -> None:
    format_ = {"type": "json_schema", "json_schema": {"name": "size", "schema": SCHEMA}}
    answer = model.ask(signals="logprobs", response_format=format_, max_tokens=256)
    assert json.loads(answer.json()["choices"][0]["message"]["content"])["size"] in {"small", "large"}
    signals = parse_signals(answer.headers["x-folio-signals"])
    assert (signals.decoding, signals.finish) == ("structured", "stop")


def test_a_required_tool_is_called_with_arguments_of_its_schema(model: Model) -> None:
    tool = {"type": "function", "function": {"name": "choose", "parameters": SCHEMA, "strict": True}}
    named = {"type": "function", "function": {"name": "choose"}}
    answer = model.ask(signals="logprobs", tools=[tool], tool_choice=named, max_tokens=512)
    (call,) = answer.json()["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "choose"
    assert json.loads(call["function"]["arguments"])["size"] in {"small", "large"}
    assert parse_signals(answer.headers["x-folio-signals"]).decoding == "tools"


@pytest.mark.parametrize("signals", [None, "logprobs"])
def test_what_is_wrong_is_said_in_openais_shape(model: Model, signals: str | None) -> None:
    unknown = model.ask(signals=signals, model="ghost")
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (404, "model")
    too_long = model.ask(signals=signals, max_tokens=5000)
    assert too_long.status_code == 400
    assert "2048" in too_long.json()["error"]["message"]


def test_the_unknown_argument_fails_its_model_by_name(model: Model) -> None:
    failed = model.cluster.wait(WRONG_ARGUMENT, states=("DEPLOY_FAILED",))
    assert "engineArgs.max_modl_len: vLLM has no such argument; did you mean max_model_len?" in problems(
        failed
    )


def test_the_missing_path_fails_its_model_by_its_path(model: Model) -> None:
    failed = model.cluster.wait(MISSING_PATH, states=("DEPLOY_FAILED",))
    assert "PathNotFound: volume://models/gone: volume 'models' has no path 'gone'" in problems(failed)

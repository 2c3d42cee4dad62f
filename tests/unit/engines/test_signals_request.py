from __future__ import annotations

import math
from typing import Any

import orjson
import pytest

from folio_serving.engines.signals import CHAT, COMPLETION, Wanted, parse_wanted, read_answer, rewrite

LOGPROBS = Wanted(logprobs=True)
MESSAGES = [{"role": "user", "content": "hi"}]


def rewritten(path: str, wanted: Wanted = LOGPROBS, **body: Any) -> dict[str, Any]:
    return dict(orjson.loads(rewrite(path, orjson.dumps(body), wanted, reasoning=False)[0]))


def answered(
    request: dict[str, Any], answer: dict[str, Any], wanted: Wanted = LOGPROBS, path: str = CHAT
) -> Any:
    _, asked = rewrite(path, orjson.dumps(request), wanted, reasoning=False)
    return read_answer(orjson.dumps(answer), asked)


def choice(*logprobs: float, finish: str = "stop", index: int = 0) -> dict[str, Any]:
    content = [{"token": "t", "logprob": value, "bytes": [116], "top_logprobs": []} for value in logprobs]
    message = {"role": "assistant", "content": "t" * len(logprobs)}
    return {"index": index, "message": message, "logprobs": {"content": content}, "finish_reason": finish}


def answer(*choices: dict[str, Any], completion: int = 2) -> dict[str, Any]:
    usage = {"prompt_tokens": 9, "total_tokens": 9 + completion, "completion_tokens": completion}
    return {"id": "chatcmpl-1", "model": "tiny", "choices": list(choices), "usage": usage}


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("logprobs", Wanted(logprobs=True)),
        ("logprobs;at=32", Wanted(logprobs=True, at=32)),
        ("usage", Wanted()),
        (" logprobs ; at=4 ", Wanted(logprobs=True, at=4)),
        ("logprobs;at=many", Wanted(logprobs=True)),
        ("", Wanted()),
    ],
)
def test_the_header_says_what_is_wanted(header: str, wanted: Wanted) -> None:
    assert parse_wanted(header) == wanted


def test_logprobs_are_turned_on_in_a_chat_and_a_completion() -> None:
    assert rewritten(CHAT, messages=MESSAGES)["logprobs"] is True
    assert rewritten(COMPLETION, prompt="hi")["logprobs"] == 0


def test_what_the_client_asked_for_itself_is_not_touched() -> None:
    body = orjson.dumps({"messages": MESSAGES, "logprobs": True, "top_logprobs": 3})
    assert rewrite(CHAT, body, LOGPROBS, reasoning=False)[0] is body


def test_only_usage_wanted_leaves_a_request_as_it_is() -> None:
    body = orjson.dumps({"messages": MESSAGES})
    assert rewrite(CHAT, body, Wanted(), reasoning=False)[0] is body


def test_a_stream_gets_its_usage_and_keeps_its_other_options() -> None:
    options = rewritten(CHAT, messages=MESSAGES, stream=True, stream_options={"continuous_usage_stats": True})
    assert options["stream_options"] == {"continuous_usage_stats": True, "include_usage": True}


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"text"', b"\xff"])
def test_a_body_that_is_no_object_goes_on_to_the_engine_that_refuses_it(body: bytes) -> None:
    assert rewrite(CHAT, body, LOGPROBS, reasoning=False)[0] is body


def test_an_embedding_request_goes_on_as_it_is() -> None:
    body = orjson.dumps({"input": "hi"})
    assert rewrite("/v1/embeddings", body, LOGPROBS, reasoning=False)[0] is body


def test_the_signals_are_taken_and_the_logprobs_stripped() -> None:
    body, signals = answered({"messages": MESSAGES}, answer(choice(-0.1, -0.3)))
    assert orjson.loads(body)["choices"][0]["logprobs"] is None
    assert signals.mean == pytest.approx(math.exp(-0.2))
    assert signals.min == pytest.approx(math.exp(-0.3))
    assert (signals.prompt, signals.completion, signals.finish) == (9, 2, "stop")


def test_logprobs_that_the_client_asked_for_stay_byte_for_byte() -> None:
    whole = answer(choice(-0.1))
    body, signals = answered({"messages": MESSAGES, "logprobs": True}, whole)
    assert body == orjson.dumps(whole)
    assert signals.mean == pytest.approx(math.exp(-0.1))


def test_of_several_choices_the_least_sure_counts() -> None:
    _, signals = answered({"messages": MESSAGES, "n": 2}, answer(choice(-0.1), choice(-2.0, index=1)))
    assert signals.mean == pytest.approx(math.exp(-2.0))


def test_one_choice_cut_short_cuts_the_answer_short() -> None:
    _, signals = answered({"messages": MESSAGES, "n": 2}, answer(choice(-1), choice(-1, finish="length")))
    assert signals.finish == "length"
    assert signals.cut_short


@pytest.mark.parametrize(
    ("limit", "own"),
    [
        ({"max_tokens": 2}, True),
        ({"max_completion_tokens": 2}, True),
        ({"max_tokens": 9}, False),
        ({}, False),
    ],
)
def test_length_is_the_clients_own_limit_only_when_it_was_reached(limit: dict[str, int], own: bool) -> None:
    _, signals = answered({"messages": MESSAGES, **limit}, answer(choice(-1, -1, finish="length")))
    assert signals.limit is own
    assert signals.cut_short is not own


def test_usage_alone_reports_no_sureness() -> None:
    _, signals = answered({"messages": MESSAGES, "logprobs": True}, answer(choice(-0.1)), Wanted())
    assert (signals.mean, signals.min, signals.prompt) == (None, None, 9)


def test_an_echoed_prompt_is_never_taken_for_the_answer() -> None:
    completion = {
        "choices": [
            {
                "index": 0,
                "text": "hi you",
                "logprobs": {"tokens": ["hi", " you"], "token_logprobs": [-9.0, -0.1]},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    request: dict[str, Any] = {"prompt": "hi", "echo": True}
    assert "logprobs" not in rewritten(COMPLETION, **request)
    _, signals = answered({**request, "logprobs": 1}, completion, path=COMPLETION)
    assert signals.mean is None


def test_a_completions_logprobs_are_read_and_stripped() -> None:
    completion = {
        "choices": [
            {
                "index": 0,
                "text": "a b",
                "logprobs": {"tokens": ["a", " b"], "token_logprobs": [-0.5, -0.7]},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    body, signals = answered({"prompt": "hi"}, completion, path=COMPLETION)
    assert signals.mean == pytest.approx(math.exp(-0.6))
    assert orjson.loads(body)["choices"][0]["logprobs"] is None


def test_an_embeddings_usage_is_reported_and_its_vectors_pass() -> None:
    whole = {
        "data": [{"index": 0, "embedding": [0.1, 0.2]}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }
    body, signals = answered({"input": "hi"}, whole, Wanted(), "/v1/embeddings")
    assert body == orjson.dumps(whole)
    assert (signals.prompt, signals.completion) == (3, None)


def test_a_reasoning_model_is_its_own_decoding_class() -> None:
    _, asked = rewrite(CHAT, orjson.dumps({"messages": MESSAGES, "temperature": 0}), LOGPROBS, reasoning=True)
    assert asked.decoding == "reasoning"

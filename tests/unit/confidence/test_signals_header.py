import math
import sys
from subprocess import run

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folio_serving.confidence import (
    Signals,
    after_reasoning,
    decoding_class,
    format_comment,
    format_signals,
    parse_comment,
    parse_signals,
    sureness_of_body,
)

SHARES = st.one_of(st.none(), st.floats(0, 1).map(lambda value: round(value, 6)))
COUNTS = st.one_of(st.none(), st.integers(0, 10**6))
ALL_SIGNALS = st.builds(
    Signals,
    mean=SHARES,
    min=SHARES,
    score=SHARES,
    prompt=COUNTS,
    completion=COUNTS,
    finish=st.sampled_from([None, "stop", "length", "tool_calls"]),
    limit=st.booleans(),
    seconds=st.one_of(st.none(), st.floats(0, 1000).map(lambda value: round(value, 6))),
    decoding=st.sampled_from([None, "greedy", "sampled", "structured", "tools", "reasoning"]),
    n=COUNTS,
)


@given(ALL_SIGNALS)
def test_what_is_formatted_is_read_back(signals):
    assert parse_signals(format_signals(signals)) == signals


@given(ALL_SIGNALS, st.booleans())
def test_a_streams_comment_is_read_back(signals, end):
    report = parse_comment(format_comment(signals, end=end))
    assert (report.signals, report.end) == (signals, end)


def test_the_header_is_plain_decimals():
    signals = Signals(mean=0.00001, min=0.5, prompt=7, finish="length", limit=True, decoding="greedy")
    assert format_signals(signals) == "mean=0.00001;min=0.5;prompt=7;finish=length;limit=1;class=greedy"


@pytest.mark.parametrize(
    "header",
    ["", ";;", "mean", "mean=", "mean=x", "mean=nan", "mean=inf", "mean=1.2", "mean=-1", "class=odd", "n=-1"],
)
def test_what_cannot_be_read_is_unknown(header):
    assert parse_signals(header) == Signals()


@given(st.text())
def test_no_header_raises(header):
    parse_signals(header)
    parse_comment(header)


@pytest.mark.parametrize("line", ["data: {}", ": ping", "", ":folio mean=1"])
def test_a_line_of_somebody_else_is_no_report(line):
    assert parse_comment(line) is None


@pytest.mark.parametrize(
    ("signals", "cut"),
    [
        (Signals(finish="length"), True),
        (Signals(finish="length", limit=True), False),
        (Signals(finish="stop"), False),
        (Signals(), False),
    ],
)
def test_an_answer_is_cut_short_unless_the_client_limited_it(signals, cut):
    assert signals.cut_short is cut


def chat(*choices):
    return {
        "choices": [
            {"logprobs": {"content": [{"token": token, "logprob": value} for token, value in choice]}}
            for choice in choices
        ]
    }


def test_sureness_is_the_exponential_of_mean_and_least_logprob():
    sure = sureness_of_body(chat([("a", math.log(0.5)), ("b", math.log(0.125))]))
    assert (round(sure.mean, 9), round(sure.min, 9), sure.n) == (0.25, 0.125, 2)


def test_of_several_choices_the_least_sure_counts():
    sure = sureness_of_body(chat([("a", math.log(0.5))], [("b", math.log(0.25))]))
    assert (round(sure.mean, 9), round(sure.min, 9)) == (0.25, 0.25)


def test_a_choice_without_logprobs_makes_all_unknown():
    body = chat([("a", -0.1)])
    body["choices"].append({"logprobs": None})
    assert sureness_of_body(body).mean is None


def test_completions_have_their_own_shape():
    body = {"choices": [{"logprobs": {"tokens": ["a", "b"], "token_logprobs": [None, math.log(0.5)]}}]}
    assert round(sureness_of_body(body).mean, 9) == 0.5


def test_only_tokens_after_the_reasoning_count():
    tokens = [("<think>", -9.0), ("hm", -9.0), ("</thi", -9.0), ("nk>", -9.0), ("yes", math.log(0.5))]
    assert list(after_reasoning(tokens)) == tokens[4:]
    assert round(sureness_of_body(chat(tokens)).min, 9) == 0.5


def test_reasoning_without_an_answer_is_unknown():
    assert sureness_of_body(chat([("<think>", -1.0), ("</think>", -1.0)])).mean is None


@pytest.mark.parametrize(
    "body", [{}, {"choices": None}, {"choices": [None, 3]}, {"choices": [{"logprobs": {"content": [1]}}]}]
)
def test_a_strange_body_is_unknown(body):
    assert sureness_of_body(body).mean is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "sampled"),
        ({"temperature": 0}, "greedy"),
        ({"temperature": 0.0}, "greedy"),
        ({"temperature": 0.2}, "sampled"),
        ({"temperature": None}, "sampled"),
        ({"temperature": False}, "sampled"),
        ({"temperature": 0, "response_format": {"type": "text"}}, "greedy"),
        ({"temperature": 0, "response_format": {"type": "json_object"}}, "structured"),
        ({"guided_json": {}, "structured_outputs": {"regex": "a"}}, "structured"),
        ({"tools": [{}], "response_format": {"type": "json_object"}}, "tools"),
        ({"tools": [{}], "tool_choice": "none", "temperature": 0}, "greedy"),
        ({"reasoning_effort": "low", "tools": [{}]}, "reasoning"),
        ({"reasoning_effort": "none", "temperature": 0}, "greedy"),
    ],
)
def test_the_decoding_class_is_the_most_constraining(body, expected):
    assert decoding_class(body) == expected


def test_a_reasoning_model_reasons_whatever_the_request():
    assert decoding_class({"temperature": 0}, reasoning=True) == "reasoning"


def test_the_module_is_light_enough_for_every_replica():
    script = (
        "import sys, folio_serving.confidence; print(sorted({'numpy', 'pydantic', 'ray'} & set(sys.modules)))"
    )
    assert run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folio_serving.agreement import agreement, most_agreed, normalised, resampled
from folio_serving.structured import fault


@pytest.mark.parametrize(
    ("answers", "share"),
    [
        ([["a"], ["A."]], 1.0),
        ([["a"], ["b"]], 0.0),
        ([["a"], ["a"], ["b"]], 1 / 3),
        ([["a", "x"], ["a", "y"]], 0.0),
        ([["a"]], None),
        ([["a"], []], None),
    ],
)
def test_agreement_is_the_share_of_equal_pairs(answers, share):
    assert agreement(answers) == (pytest.approx(share) if share is not None else None)


@given(st.lists(st.lists(st.text(), min_size=1, max_size=2), min_size=2, max_size=5))
def test_agreement_is_a_share_and_the_most_agreed_is_one_of_them(answers):
    assert 0 <= agreement(answers) <= 1
    assert 0 <= most_agreed(answers) < len(answers)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}'),
        (" Paris. ", "paris"),
        ("1,250", "1250"),
        ("**yes**", "Yes"),
        ("new\nyork", "New York"),
    ],
)
def test_ways_of_writing_do_not_count(one, other):
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"), [("1.5", "15"), ("-5", "5"), ('{"a": 1}', '{"a": 2}'), ("1,2", "12")]
)
def test_what_is_said_does(one, other):
    assert normalised(one) != normalised(other)


def test_samples_of_a_greedy_request_are_drawn():
    assert resampled({"temperature": 0, "seed": 5}, 2) == {"temperature": 0.7, "seed": 7}
    assert resampled({"temperature": 1.2}, 2) == {"temperature": 1.2}


def schema(**content):
    return {"type": "json_schema", "json_schema": {"schema": content}}


def test_a_json_object_is_an_object():
    assert fault("[1]", {"type": "json_object"}) == "not a JSON object"
    assert fault('{"a": 1}', {"type": "json_object"}) is None


def test_a_schema_that_is_none_is_told():
    assert "is no schema" in fault("1", schema(type="nonsense"))


def test_nothing_outside_the_schema_is_fetched():
    assert "cannot be followed" in fault("1", schema(**{"$ref": "http://127.0.0.1:1/schema.json"}))


def test_a_schema_without_end_ends():
    assert "cannot be followed" in fault("1", schema(**{"$ref": "#"}))


EVIL = "^(a+)+$"
VICTIM = "a" * 40 + "!"


@pytest.mark.parametrize(
    "content",
    [
        {"pattern": EVIL},
        {"propertyNames": {"pattern": EVIL}},
        {"patternProperties": {EVIL: {}}},
        {"patternProperties": {EVIL: {}}, "additionalProperties": False},
        {"patternProperties": {EVIL: {}}, "unevaluatedProperties": False},
    ],
)
@pytest.mark.parametrize("text", [json.dumps(VICTIM), json.dumps({VICTIM: 1})])
def test_a_hostile_pattern_costs_nothing(content, text):
    assert fault(text, schema(**content)) is None


def test_additional_properties_are_still_told():
    assert "unexpected" in fault('{"b": 1}', schema(properties={"a": {}}, additionalProperties=False))

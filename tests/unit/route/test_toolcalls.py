import pytest
from hypothesis import given
from hypothesis import strategies as st

from folio_serving.toolcalls import decode_tool_call_id, encode_tool_call_id, issuer, marked, restored


@given(st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True), st.text())
def test_an_id_comes_back_with_its_model(model, own):
    assert decode_tool_call_id(encode_tool_call_id(model, own)) == (model, own)


@pytest.mark.parametrize("foreign", ["call_1", "folio", "folio.", "folio.x", "folio..x", ""])
def test_a_foreign_id_is_left_as_it_is(foreign):
    assert decode_tool_call_id(foreign) == (None, foreign)


def test_a_models_call_is_marked_and_restored_before_it_sees_it_again():
    call = {
        "role": "assistant",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f"}}],
    }
    seen = marked(call, "large")
    assert seen["tool_calls"][0]["id"] == "folio.large.call_1"
    conversation = [seen, {"role": "tool", "tool_call_id": "folio.large.call_1", "content": "42"}]
    assert issuer(conversation) == "large"
    assert restored(conversation) == [call, {"role": "tool", "tool_call_id": "call_1", "content": "42"}]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        ["text"],
        [{"role": "user"}],
        [{"role": "tool"}],
        [{"role": "tool", "tool_call_id": 7}],
        [{"role": "tool", "tool_call_id": "folio.a.b"}, {"role": "user", "content": "go on"}],
    ],
)
def test_without_a_tool_result_at_the_tail_nobody_waits(messages):
    assert issuer(messages) is None
    restored(messages)


def test_a_stream_delta_without_an_id_stays_as_it_is():
    delta = {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}
    assert marked(delta, "large") == delta
    assert marked({"tool_calls": "odd"}, "large") == {"tool_calls": "odd"}

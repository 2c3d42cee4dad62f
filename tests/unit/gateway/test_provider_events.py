"""What providers write as server-sent events, and the one form that is read behind it."""

from __future__ import annotations

import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folio_serving import provider_events
from folio_serving.backends import AsProvider
from folio_serving.engines.signals import Asked, Wanted
from folio_serving.provider_events import ProviderEvents
from folio_serving.rates import Rates

CHUNK = b'{"choices":[{"index":0,"delta":{"content":"a"}}]}'
PLAIN = b"data: " + CHUNK + b"\n\n"
DONE = b"data: [DONE]\n\n"


def read(stream: bytes) -> bytes:
    events = ProviderEvents()
    return events.feed(stream) + events.flush()


@pytest.mark.parametrize(
    "written",
    [
        PLAIN,
        b"data:" + CHUNK + b"\n\n",
        b"event: message\n" + PLAIN,
        b"event: completion\nid: 7\nretry: 10\n" + PLAIN,
        b": a comment\n" + PLAIN,
        b": folio mean=1;min=1\n\n" + PLAIN,
        b"\n\n\n" + PLAIN,
        b"event: ping\ndata: {}\n\n" + PLAIN,
        b"data: " + CHUNK + b"\n",
        b"data: " + CHUNK,
    ],
    ids=lambda written: written[:32].decode(),
)
def test_an_event_is_one_line_of_data_however_it_was_written(written: bytes):
    assert read(written) == PLAIN


@pytest.mark.parametrize("size", [1, 2, 3, 4, 1000])
def test_a_byte_order_mark_before_the_first_event_is_no_part_of_it(size: int):
    stream, events = "\ufeff".encode() + PLAIN + DONE, ProviderEvents()

    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]

    assert b"".join(map(events.feed, pieces)) + events.flush() == PLAIN + DONE


def test_a_stream_of_less_than_a_byte_order_mark_ends_quietly():
    assert read(b"\xef\xbb") == b""


def test_data_over_several_lines_is_one_message():
    found = read(b'event: message\ndata: {"choices":\ndata: [{"index":0}]}\n\n' + DONE)

    assert orjson.loads(found.removesuffix(DONE).removeprefix(b"data: ")) == {"choices": [{"index": 0}]}
    assert found.endswith(DONE)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (b'event: error\ndata: {"error":{"message":"quota"}}\n\n', {"message": "quota"}),
        (b'event: error\ndata: {"message":"quota"}\n\n', {"message": '{"message":"quota"}'}),
        (b"event: error\ndata: no quota\n\n", {"message": "no quota"}),
        (b"event: error\n\n", {"message": ""}),
        (b'data: { "error": {"message":"quota"}}\n\n', {"message": "quota"}),
        (b'data: {"id":1,"error":"quota"}\n\n', "quota"),
    ],
    ids=lambda one: str(one)[:40],
)
def test_a_failure_is_told_as_openai_tells_it(written: bytes, told: object):
    assert read(written) == b"data: " + orjson.dumps({"error": told}) + b"\n\n"


@pytest.mark.parametrize(
    "content", [b'{"choices":[{"delta":{"content":"\\"error\\""}}]}', b'{"choices":[],"error":null}']
)
def test_the_word_alone_is_no_failure(content: bytes):
    assert read(b"data: " + content + b"\n\n") == b"data: " + content + b"\n\n"


def test_an_event_without_an_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provider_events, "MAX_EVENT_BYTES", 100)
    events = ProviderEvents()
    events.feed(b"data: " + b"a" * 90)

    with pytest.raises(ValueError, match="more than 100 bytes"):
        events.feed(b"a" * 90)


def test_time_grows_with_an_event_not_with_its_square():
    events, began = ProviderEvents(), time.process_time()
    for _ in range(16_000):
        assert events.feed(b"x" * 64) == b""
    assert time.process_time() - began < 2


@given(st.data())
def test_how_the_network_cuts_it_changes_nothing(data: st.DataObject):
    stream = b"event: x\n" + PLAIN + b": c\n\n" + PLAIN + b'event: error\ndata: {"error":"no"}\n\n' + DONE
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    events = ProviderEvents()
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    assert b"".join(map(events.feed, pieces)) + events.flush() == read(stream)


@pytest.mark.parametrize("first", [b"", b'data: {"choices":[],"model":"","prompt_filter_results":[]}\n\n'])
@pytest.mark.parametrize("together", [True, False])
def test_a_provider_s_name_of_its_model_is_not_shown_also_where_it_comes_late(first: bytes, together: bool):
    then = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"model":"theirs"}\n\n' * 2
    answer = AsProvider("ours", Asked(Wanted(logprobs=False)), Rates(None, None), "choices")
    chunks = [first + then] if together else [first, then]
    told = b"".join(answer.chunk(each) for each in chunks)
    assert b"theirs" not in told
    assert told.count(b'"model":"ours"') == 2

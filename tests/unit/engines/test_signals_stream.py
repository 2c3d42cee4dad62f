from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folio_serving.confidence import parse_comment
from folio_serving.engines.signals import Asked, Wanted
from folio_serving.engines.stream_signals import StreamSignals

STRIP = Asked(Wanted(logprobs=True, at=2), decoding="greedy", strip_logprobs=True, strip_usage=True)
KEEP = Asked(Wanted(logprobs=True, at=2), decoding="greedy")
DONE = b"data: [DONE]\n\n"


def event(message: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps({"id": "chatcmpl-1", "model": "tiny", **message}) + b"\n\n"


def chunk(
    text: str | None, *logprobs: float, finish: str | None = None, index: int = 0, **delta: Any
) -> bytes:
    content = [{"token": text or "", "logprob": value, "bytes": [], "top_logprobs": []} for value in logprobs]
    delta = {**delta, **({"content": text} if text is not None else {})}
    seen = {"content": content} if logprobs else None
    return event({"choices": [{"index": index, "delta": delta, "logprobs": seen, "finish_reason": finish}]})


def usage(completion: int) -> bytes:
    tokens = {"prompt_tokens": 9, "total_tokens": 9 + completion, "completion_tokens": completion}
    return event({"choices": [], "usage": tokens})


ROLE = event(
    {
        "choices": [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": ""},
                "logprobs": None,
                "finish_reason": None,
            }
        ]
    }
)
STREAM = [
    ROLE,
    chunk("naïve ", -0.1),
    chunk("東京", -0.2),
    chunk("🙂", -0.3),
    chunk("", -0.4, finish="stop"),
    usage(4),
    DONE,
]


def streamed(asked: Asked, *chunks: bytes) -> bytes:
    stream = StreamSignals(asked, seconds=lambda: 1.5)
    return b"".join(stream.feed(each) for each in chunks) + stream.flush()


def events(out: bytes) -> list[str]:
    return out.decode().removesuffix("\n\n").split("\n\n")


def comments(out: bytes) -> list[Any]:
    return [report for line in events(out) if (report := parse_comment(line))]


def messages(out: bytes) -> list[Any]:
    return [orjson.loads(line[6:]) for line in events(out) if line.startswith("data: {")]


def test_the_client_sees_its_text_and_nothing_that_it_did_not_ask_for() -> None:
    seen = messages(streamed(STRIP, *STREAM))
    assert "".join(m["choices"][0]["delta"].get("content", "") for m in seen) == "naïve 東京🙂"
    assert all(m["choices"][0]["logprobs"] is None for m in seen)
    assert not any("usage" in m for m in seen)


def test_what_the_client_asked_for_passes_byte_for_byte() -> None:
    out = streamed(KEEP, *STREAM)
    ours = [f"{line}\n\n".encode() for line in events(out) if line.startswith(": folio")]
    for each in ours:
        out = out.replace(each, b"", 1)
    assert out == b"".join(STREAM)


def test_the_early_comment_stands_right_behind_the_nth_token() -> None:
    lines = events(streamed(STRIP, *STREAM))
    position = next(i for i, line in enumerate(lines) if parse_comment(line))
    assert "東京" in lines[position - 1]
    early = comments(streamed(STRIP, *STREAM))[0]
    assert not early.end
    assert early.signals.n == 2
    assert early.signals.mean == pytest.approx(math.exp(-0.15), abs=1e-6)
    assert early.signals.min == pytest.approx(math.exp(-0.2), abs=1e-6)


def test_the_closing_comment_stands_before_done_and_says_all() -> None:
    lines = events(streamed(STRIP, *STREAM))
    assert lines[-1] == "data: [DONE]"
    last = parse_comment(lines[-2])
    assert last is not None
    assert last.end
    signals = last.signals
    assert (signals.prompt, signals.completion, signals.finish, signals.seconds) == (9, 4, "stop", 1.5)
    assert (signals.decoding, signals.n, signals.limit) == ("greedy", 4, False)
    assert signals.mean == pytest.approx(math.exp(-0.25), abs=1e-6)


def test_a_short_answer_reports_early_at_its_end() -> None:
    early, last = comments(streamed(STRIP, ROLE, chunk("hi", -0.1, finish="stop"), usage(1), DONE))
    assert (early.end, early.signals.n, last.end) == (False, 1, True)


def test_the_early_comment_comes_once() -> None:
    assert [report.end for report in comments(streamed(STRIP, *STREAM))] == [False, True]


def test_without_a_wish_for_it_there_is_no_early_comment() -> None:
    asked = Asked(Wanted(logprobs=True), strip_logprobs=True, strip_usage=True)
    assert [report.end for report in comments(streamed(asked, *STREAM))] == [True]


def test_every_choice_must_have_n_tokens() -> None:
    asked = Asked(Wanted(logprobs=True, at=2), strip_logprobs=True, strip_usage=True, choices=2)
    first = [chunk("a", -1, index=0), chunk("b", -1, index=0)]
    assert comments(streamed(asked, *first))[0].end
    both = [*first, chunk("c", -1, index=1), chunk("d", -3, index=1)]
    early = comments(streamed(asked, *both))[0]
    assert not early.end
    assert early.signals.mean == pytest.approx(math.exp(-2), abs=1e-6)


def test_a_token_that_is_no_text_yet_is_no_event_for_the_client() -> None:
    out = streamed(STRIP, ROLE, chunk(None, -0.1), chunk("東", -0.1, finish="stop"), usage(2), DONE)
    assert len(messages(out)) == 2
    assert comments(out)[-1].signals.n == 2


def test_an_error_in_the_stream_passes_and_is_the_finish() -> None:
    trouble = b'data: {"error": {"message": "engine died", "code": 500}}\n\n'
    out = streamed(STRIP, ROLE, chunk("a", -0.1), trouble, DONE)
    assert trouble in out
    assert comments(out)[-1].signals.finish == "error"


def test_a_stream_that_just_ends_is_closed_with_its_comment() -> None:
    out = streamed(STRIP, ROLE, chunk("a", -0.1))
    assert comments(out)[-1].end
    assert comments(out)[-1].signals.finish is None


def test_keep_alive_comments_and_foreign_events_pass() -> None:
    alive = b": keep-alive\n\ndata: not json\n\nevent: x\n\n"
    assert streamed(STRIP, alive).startswith(alive)


def test_a_completion_stream_is_read_like_a_chat() -> None:
    part = {
        "index": 0,
        "text": "hi",
        "finish_reason": "length",
        "logprobs": {"tokens": ["hi"], "token_logprobs": [-0.5]},
    }
    asked = Asked(Wanted(logprobs=True), strip_logprobs=True, strip_usage=True, max_tokens=1)
    out = streamed(asked, event({"choices": [part]}), usage(1), DONE)
    assert messages(out)[0]["choices"][0]["text"] == "hi"
    last = comments(out)[-1].signals
    assert (last.finish, last.limit) == ("length", True)
    assert last.mean == pytest.approx(math.exp(-0.5), abs=1e-6)


def test_tokens_of_the_reasoning_do_not_count() -> None:
    asked = Asked(Wanted(logprobs=True), decoding="reasoning", strip_logprobs=True, strip_usage=True)
    out = streamed(
        asked, chunk(None, -5.0, reasoning="hm"), chunk("yes", -0.1, finish="stop"), usage(2), DONE
    )
    last = comments(out)[-1].signals
    assert (last.n, last.mean) == (1, pytest.approx(math.exp(-0.1), abs=1e-6))


@pytest.mark.parametrize("asked", [STRIP, KEEP])
@given(data=st.data())
def test_however_the_network_cuts_the_stream_the_bytes_are_the_same(
    asked: Asked, data: st.DataObject
) -> None:
    whole = b"".join(STREAM)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=12)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert streamed(asked, *parts) == streamed(asked, *STREAM)

"""What of a replica's stream reaches the client, however the network cut it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from folio_serving.confidence import Signals
from folio_serving.sse import DONE, EventReader, event_of

PLAIN = [
    event_of({"choices": [{"delta": {"content": "a"}}]}),
    event_of({"choices": [{"delta": {"content": ': folio mean=0 and [DONE] and data: {"error"'}}]}),
    b": a comment of the engine's own\n\n",
]
PREFIX = b": folio mean=0.9;min=0.5;n=32\n\n"
USAGE = event_of({"choices": [], "usage": {"prompt_tokens": 1}})
ENDING = b": folio end;mean=0.8;completion=3\n\n"


@given(
    before=st.lists(st.sampled_from(PLAIN)),
    between=st.lists(st.sampled_from(PLAIN)),
    cuts=st.lists(st.integers(0, 2000)),
)
def test_the_clients_events_pass_as_they_are_and_ours_are_read(
    before: list[bytes], between: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join([*before, PREFIX, *between, USAGE, ENDING, DONE])
    reader = EventReader(hold_usage=True)
    ends = [*sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    chunks = [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert b"".join(map(reader.feed, chunks)) == b"".join([*before, *between])
    assert reader.prefix == Signals(mean=0.9, min=0.5, n=32)
    assert reader.end == Signals(mean=0.8, completion=3)
    assert reader.usage == {"choices": [], "usage": {"prompt_tokens": 1}}
    assert reader.done


@given(cuts=st.lists(st.integers(0, 300)))
def test_only_events_with_tool_calls_are_rewritten(cuts: list[int]) -> None:
    call = event_of({"choices": [{"delta": {"tool_calls": [{"id": "1"}]}}]})
    stream = PLAIN[0] + call + PLAIN[0] + call + PLAIN[1] + DONE
    reader = EventReader(rewrite=lambda message: {"changed": len(message["choices"])})
    ends = [*sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    chunks = [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    changed = event_of({"changed": 1})
    assert b"".join(map(reader.feed, chunks)) == PLAIN[0] + changed + PLAIN[0] + changed + PLAIN[1]

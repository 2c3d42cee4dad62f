"""Whatever models answer, however late: a cascade ends, within its ladder, its time and its money."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cascade.play import PRICED, model, question, rung

from folio_serving.cascade import cascade
from folio_serving.confidence import Signals
from folio_serving.conversation import Answer, Ask, Commit, Failed, Prefix, PrefixCommit, Together

NAMES = ("a", "b", "c", "d", "e")
SHARES = st.one_of(st.none(), st.floats(0, 1))
SIGNALS = st.sampled_from(["MeanLogprob", "MinLogprob", "Score", "JsonSchema", "Agreement", "Always"])
REASONS = st.sampled_from(
    ["Waking", "QueueFull", "TooLong", "Timeout", "Unavailable", "UpstreamError", "BadRequest"]
)


@st.composite
def ladders(draw):
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    return tuple(
        rung(
            name,
            signal := draw(SIGNALS),
            None if signal in {"Always", "JsonSchema"} else draw(st.floats(0, 1)),
            samples=draw(st.integers(2, 4)) if signal == "Agreement" else None,
            timeout_seconds=draw(st.one_of(st.none(), st.floats(0.1, 100))),
        )
        for name in names
    )


@st.composite
def questions(draw):
    return question(
        *draw(ladders()),
        models={name: model(name, price=PRICED) for name in NAMES},
        deadline_seconds=draw(st.floats(0.5, 60)),
        max_cost_usd=draw(st.one_of(st.none(), st.floats(0, 400))),
        on_exhausted=draw(st.sampled_from(["ReturnBest", "Refuse"])),
        prompt_tokens=draw(st.integers(1, 50)),
        max_tokens=draw(st.integers(1, 50)),
        stream=draw(st.booleans()),
    )


def reply_to(ask, draw, asked, now):
    """Any honest reply: it never uses more tokens than were allowed, and streams only report what they may."""
    spent = {"prompt": asked.prompt_tokens, "completion": draw(st.integers(0, asked.max_tokens))}
    signals = Signals(mean=draw(SHARES), min=draw(SHARES), score=draw(SHARES), **spent)
    kinds = ["answer", "failed"]
    if asked.stream and isinstance(ask, Ask) and isinstance(ask.delivery, PrefixCommit):
        kinds.append("prefix")
    kind = draw(st.sampled_from(kinds))
    if kind == "failed":
        return Failed(draw(REASONS), "no", now, committed=isinstance(ask, Commit))
    return (
        Prefix(signals, now)
        if kind == "prefix"
        else Answer(signals, now, texts=(draw(st.sampled_from("xy")),))
    )


@given(questions(), st.data())
def test_every_cascade_keeps_to_its_ladder_time_and_money(asked, data):
    conversation = cascade(asked)
    now, left = asked.started, asked.deadline_seconds
    counted = Counter()
    try:
        step = next(conversation)
        while True:
            asks = step.asks if isinstance(step, Together) else (step,)
            for ask in asks:
                if isinstance(ask, Commit):
                    continue
                assert ask.model == asked.ladder[ask.rung].model
                assert 0 < ask.timeout_seconds <= left + 1e-9
                counted[ask.model, ask.again] += 1 if ask.role == "rung" else 0
            now += data.draw(st.floats(0, 20))
            left = min(left, asked.started + asked.deadline_seconds - now)
            replies = tuple(reply_to(ask, data.draw, asked, now) for ask in asks)
            step = conversation.send(replies if isinstance(step, Together) else replies[0])
    except StopIteration as end:
        verdict = end.value
    assert all(times == 1 for times in counted.values())
    assert sum(again for _, again in counted) <= 1
    if asked.max_cost_usd is not None:
        assert verdict.usd <= asked.max_cost_usd + 1e-6
    assert (verdict.answer is None) <= bool(verdict.reason)
    assert not (verdict.refused and asked.on_exhausted == "ReturnBest")

import pytest
from tests.unit.cascade.play import LARGE, SMALL, answer, failed, model, play, question, reasons, rung
from tests.unit.cascade.test_signals import AIMED, calibrated

from folio_serving.confidence import Signals
from folio_serving.conversation import Buffered, Commit, Passthrough, Prefix, PrefixCommit


def prefix(mean, now=100.5, n=32):
    return Prefix(Signals(mean=mean, n=n), now)


@pytest.mark.parametrize(
    ("first", "delivery"),
    [
        (rung("small"), Passthrough()),
        (rung("small", "MeanLogprob", 0.5), PrefixCommit(32)),
        (rung("small", "MinLogprob", 0.5), PrefixCommit(32)),
        (rung("small", "Score", 0.5), Buffered()),
        (rung("small", "JsonSchema"), Buffered()),
    ],
)
def test_a_rung_streams_as_its_signal_allows(first, delivery):
    steps, _ = play(question(first, LARGE, stream=True), failed("Waking"), answer())
    assert [step.delivery for step in steps] == [delivery, Passthrough()]


def test_nothing_is_passed_through_that_is_not_streamed():
    steps, _ = play(question(rung("small")), answer())
    assert steps[0].delivery == Buffered()


def test_several_choices_are_buffered():
    steps, _ = play(question(SMALL, LARGE, stream=True, choices=2), answer(0.9))
    assert steps[0].delivery == Buffered()


def test_the_last_rung_passes_through_when_it_will_be_returned_anyway():
    steps, verdict = play(question(SMALL, stream=True), answer(0.1))
    assert steps[0].delivery == Passthrough()
    assert (verdict.answer.payload, verdict.reason) == ("yes", "NotConfident")


def test_the_last_rung_is_held_back_when_it_may_be_refused_or_beaten():
    steps, _ = play(question(SMALL, on_exhausted="Refuse", stream=True), answer(0.1))
    assert steps[0].delivery == PrefixCommit(32)
    ladder = (rung("kb", "Score", 0.5), SMALL)
    steps, _ = play(question(*ladder, stream=True), answer(score=0.1), answer(0.9))
    assert steps[1].delivery == PrefixCommit(32)


def test_a_good_prefix_commits_and_its_end_changes_nothing():
    steps, verdict = play(question(SMALL, LARGE, stream=True), prefix(0.7), answer(0.2))
    assert steps[1] == Commit()
    assert (verdict.reason, verdict.model, verdict.confidence) == ("", "small", 0.2)


def test_a_bad_prefix_hands_on_and_is_charged_for_what_it_wrote():
    priced = {"small": model("small", price={"usd_per_million_output_tokens": 1_000_000})}
    asked = question(SMALL, LARGE, stream=True, models=priced)
    steps, verdict = play(asked, prefix(0.5), answer(now=102))
    assert [step.model for step in steps] == ["small", "large"]
    assert verdict.attempts[0].usd == 32


def test_a_stream_that_ended_within_the_prefix_is_a_whole_answer():
    _, verdict = play(question(SMALL, LARGE, stream=True), answer(0.5, text="draft"), failed(now=102))
    assert (verdict.answer.payload, verdict.reason) == ("draft", "NotConfident")


def test_a_stream_that_breaks_after_its_commit_ends_the_query():
    steps, verdict = play(
        question(SMALL, LARGE, stream=True), prefix(0.9), failed("UpstreamError", committed=True)
    )
    assert len(steps) == 2
    assert (verdict.answer, verdict.reason, verdict.failure.committed) == (None, "UpstreamError", True)


def test_a_passed_through_stream_that_breaks_after_bytes_ends_the_query():
    asked = question(rung("small"), LARGE, stream=True)
    assert play(asked, failed("UpstreamError", committed=True))[1].failure.committed


def test_a_refused_prefix_is_asked_again_when_nobody_else_answers():
    steps, verdict = play(
        question(SMALL, LARGE, stream=True), prefix(0.5), failed(now=102), answer(0.5, now=103)
    )
    assert [(step.model, step.again) for step in steps] == [
        ("small", False),
        ("large", False),
        ("small", True),
    ]
    assert steps[2].delivery == Passthrough()
    assert reasons(verdict) == [
        ("small", "NotConfident"),
        ("large", "Unavailable"),
        ("small", "NotConfident"),
    ]
    assert (verdict.answer.payload, verdict.reason) == ("yes", "NotConfident")


def test_a_refused_prefix_is_not_asked_again_where_refusal_is_wanted():
    asked = question(SMALL, LARGE, stream=True, on_exhausted="Refuse")
    _, verdict = play(asked, prefix(0.5), failed(now=102))
    assert (verdict.answer, verdict.refused) == (None, True)


def test_the_second_try_failing_tells_the_failure():
    asked = question(SMALL, LARGE, stream=True)
    _, verdict = play(asked, prefix(0.5), failed("QueueFull", now=102), failed("Waking", now=103))
    assert (verdict.answer, verdict.reason, verdict.refused) == (None, "Waking", False)


def test_a_target_streams_only_with_a_calibration_of_the_prefix():
    asked = question(AIMED, LARGE, stream=True, decoding="greedy", calibration=calibrated())
    assert play(asked, answer(0.9))[0][0].delivery == Buffered()
    asked = question(AIMED, LARGE, stream=True, decoding="greedy", calibration=calibrated("MeanLogprob@32"))
    steps, verdict = play(asked, prefix(0.8), answer(0.8))
    assert steps[0].delivery == PrefixCommit(32)
    assert verdict.reason == ""

import pytest
from tests.unit.cascade.play import LARGE, PRICED, SMALL, answer, failed, model, play, question, reasons, rung

from folio_api.table import Context
from folio_serving.cascade import cascade
from folio_serving.confidence import Signals
from folio_serving.context import Draft, Passage
from folio_serving.conversation import Answer, Ask


def test_a_sure_answer_ends_the_climb():
    steps, verdict = play(question(SMALL, LARGE), answer(0.8))
    assert [step.model for step in steps] == ["small"]
    assert (verdict.answer.payload, verdict.reason, verdict.model, verdict.confidence) == (
        "yes",
        "",
        "small",
        0.8,
    )


def test_an_unsure_answer_hands_on_and_is_accounted():
    steps, verdict = play(question(SMALL, LARGE), answer(0.5, text="no"), answer(now=102.0))
    assert [step.model for step in steps] == ["small", "large"]
    assert verdict.answer.payload == "yes"
    assert reasons(verdict) == [("small", "NotConfident"), ("large", "")]
    assert [attempt.elapsed_seconds for attempt in verdict.attempts] == [1.0, 1.0]


def test_only_a_logprob_signal_asks_for_logprobs():
    steps, _ = play(question(SMALL, LARGE), answer(0.5), answer())
    assert [step.signals for step in steps] == ["logprobs", "usage"]


def test_a_missing_signal_is_never_confident():
    _, verdict = play(question(SMALL, LARGE), answer(None), answer())
    assert verdict.attempts[0].message == "no MeanLogprob came with the answer"


@pytest.mark.parametrize(
    "reason", ["Waking", "QueueFull", "TooLong", "Timeout", "Unavailable", "UpstreamError"]
)
def test_a_rung_that_cannot_answer_hands_on_with_its_reason_kept(reason):
    _, verdict = play(question(SMALL, LARGE), failed(reason), answer())
    assert reasons(verdict) == [("small", reason), ("large", "")]


def test_a_bad_request_is_returned_at_once():
    steps, verdict = play(question(SMALL, LARGE), failed("BadRequest", payload={"error": 1}))
    assert len(steps) == 1
    assert (verdict.reason, verdict.failure.payload) == ("BadRequest", {"error": 1})


def test_all_failed_tells_the_last_reason_that_may_pass():
    _, verdict = play(question(SMALL, LARGE), failed("QueueFull"), failed("TooLong", now=102))
    assert (verdict.answer, verdict.reason, verdict.refused) == (None, "QueueFull", False)
    assert verdict.failure.message == "it was QueueFull"


def test_return_best_takes_the_surest_draft():
    ladder = (SMALL, rung("middle", "MeanLogprob", 0.9), rung("large", "MeanLogprob", 0.9))
    _, verdict = play(question(*ladder), answer(0.3, text="a"), answer(0.7, text="b"), answer(0.5, text="c"))
    assert (verdict.answer.payload, verdict.reason, verdict.rung) == ("b", "NotConfident", 1)


def test_return_best_prefers_the_larger_rung_among_equals():
    ladder = (SMALL, rung("large", "MeanLogprob", 0.9))
    _, verdict = play(question(*ladder), answer(0.5, text="a"), answer(0.5, text="b"))
    assert verdict.answer.payload == "b"


def test_refuse_returns_no_draft():
    _, verdict = play(question(SMALL, on_exhausted="Refuse"), answer(0.5))
    assert (verdict.answer, verdict.reason, verdict.refused) == (None, "NotConfident", True)


def test_a_failed_last_rung_returns_the_draft():
    _, verdict = play(question(SMALL, LARGE), answer(0.5, text="draft"), failed("Unavailable", now=102))
    assert (verdict.answer.payload, verdict.reason) == ("draft", "NotConfident")


def test_an_answer_cut_off_by_the_engine_is_not_accepted_however_sure():
    cut = answer(0.99, text="cut", finish="length")
    _, verdict = play(question(rung("small"), LARGE), cut, answer())
    assert reasons(verdict) == [("small", "NotConfident"), ("large", "")]


def test_an_answer_cut_off_by_the_clients_own_limit_is_judged_as_usual():
    _, verdict = play(question(SMALL, LARGE), answer(0.9, finish="length", limit=True))
    assert verdict.reason == ""


def test_a_cut_draft_ranks_below_a_whole_one():
    ladder = (SMALL, rung("large", "MeanLogprob", 0.99))
    _, verdict = play(question(*ladder), answer(0.3, text="whole"), answer(0.9, text="cut", finish="length"))
    assert verdict.answer.payload == "whole"


def test_the_timeout_of_an_ask_is_the_rungs_or_what_the_deadline_leaves():
    ladder = (rung("small", "MeanLogprob", 0.6, timeout_seconds=5.0), rung("large", timeout_seconds=50.0))
    steps, _ = play(question(*ladder, deadline_seconds=20), answer(0.1, now=104.0), answer(now=105.0))
    assert [step.timeout_seconds for step in steps] == [5.0, 16.0]


def test_at_the_deadline_the_draft_is_returned():
    _, verdict = play(question(SMALL, LARGE, deadline_seconds=10), answer(0.5, now=111.0, text="draft"))
    assert (verdict.answer.payload, verdict.reason) == ("draft", "Deadline")


def test_at_the_deadline_without_a_draft_nobody_answered():
    _, verdict = play(question(SMALL, LARGE, deadline_seconds=10), failed("Timeout", now=110.0))
    assert (verdict.answer, verdict.reason, verdict.refused) == (None, "Deadline", False)


def test_at_the_deadline_refuse_keeps_the_draft_back():
    late = question(SMALL, LARGE, deadline_seconds=10, on_exhausted="Refuse")
    _, verdict = play(late, answer(0.5, now=111.0))
    assert (verdict.answer, verdict.reason, verdict.refused) == (None, "Deadline", True)


def test_a_clock_that_runs_back_gives_no_time_back():
    steps, _ = play(question(SMALL, LARGE, deadline_seconds=20), answer(0.1, now=110.0), answer(now=105.0))
    assert steps[1].timeout_seconds == 10.0


def test_a_rung_that_would_cost_too_much_is_passed_over_unasked():
    dear = {"large": model("large", price=PRICED)}
    asked = question(SMALL, LARGE, models=dear, max_cost_usd=100, prompt_tokens=60, max_tokens=50)
    steps, verdict = play(asked, answer(0.5, text="draft"))
    assert len(steps) == 1
    assert (verdict.answer.payload, verdict.reason) == ("draft", "OverBudget")
    assert [(a.model, a.reason, a.asked) for a in verdict.attempts][1] == ("large", "OverBudget", False)


def test_what_drafts_have_cost_counts_against_the_next_rung():
    priced = {name: model(name, price=PRICED) for name in ("small", "large")}
    asked = question(SMALL, LARGE, models=priced, max_cost_usd=100, prompt_tokens=10, max_tokens=30)
    _, verdict = play(asked, answer(0.5, prompt=40, completion=25))
    assert (verdict.reason, verdict.usd) == ("OverBudget", 65)


def test_replica_time_is_priced_by_what_requests_lately_took():
    slow = {"large": model("large", price={"usd_per_replica_second": 1.0})}
    asked = question(SMALL, LARGE, models=slow, max_cost_usd=5, expected_seconds={"large": 6.0})
    _, verdict = play(asked, answer(0.5))
    assert reasons(verdict)[1] == ("large", "OverBudget")


def test_money_spent_before_any_draft_ends_without_an_answer():
    dear = {"large": model("large", price=PRICED)}
    _, verdict = play(question(LARGE, models=dear, max_cost_usd=1, prompt_tokens=5))
    assert (verdict.answer, verdict.reason) == (None, "OverBudget")


def test_a_timed_out_rung_is_charged_for_the_time_it_took():
    slow = {"small": model("small", price={"usd_per_replica_second": 2.0})}
    _, verdict = play(question(SMALL, LARGE, models=slow), failed("Timeout", now=103.0), answer(now=104.0))
    assert verdict.usd == 6.0


def test_a_larger_rung_is_shown_nothing_unless_written():
    steps, _ = play(question(SMALL, LARGE), answer(0.1), answer())
    assert (steps[1].drafts, steps[0].needs_text) == ((), False)


def test_a_larger_rung_is_shown_the_latest_drafts_and_best_passages():
    found = Answer(Signals(score=0.1), 101.0, ("a",), (Passage("p1", score=0.1), Passage("p2", score=0.9)))
    ladder = (
        rung("kb", "Score", 0.5),
        rung("small", "MeanLogprob", 0.6),
        rung("large", context=Context(drafts=1, passages=1)),
    )
    steps, _ = play(question(*ladder), found, answer(0.1, text="b"), answer())
    assert steps[0].needs_text
    assert steps[2].drafts == (Draft("small", "b"),)
    assert [passage.text for passage in steps[2].passages] == ["p2"]


def test_context_that_does_not_fit_is_left_out_drafts_first():
    ladder = (SMALL, rung("large", context=Context(drafts=1, passages=1)))
    draft = Answer(Signals(mean=0.1), 101.0, ("x" * 7000,), (Passage("short", score=0.9),))
    tight = {"large": model("large", context_tokens=1000)}
    steps, _ = play(question(*ladder, models=tight, prompt_tokens=500), draft, answer())
    assert steps[1].drafts == ()
    assert [passage.text for passage in steps[1].passages] == ["short"]
    none = {"large": model("large", context_tokens=510)}
    steps, _ = play(question(*ladder, models=none, prompt_tokens=500), draft, answer())
    assert (steps[1].drafts, steps[1].passages) == ((), ())


def test_a_client_that_leaves_ends_the_conversation():
    conversation = cascade(question(SMALL, LARGE))
    assert isinstance(next(conversation), Ask)
    conversation.close()
    with pytest.raises(StopIteration):
        next(conversation)


def test_a_client_that_left_ends_the_query_and_owes_what_was_under_way():
    priced = {name: model(name, price=PRICED) for name in ("small", "large")}
    asked = question(SMALL, LARGE, models=priced, prompt_tokens=10)
    draft, gone = answer(0.1, prompt=10, completion=5), failed("ClientLeft", 103.0)
    _, verdict = play(asked, draft, gone)
    assert (verdict.answer, verdict.reason, verdict.model) == (None, "ClientLeft", "large")
    assert [attempt.usd for attempt in verdict.attempts] == [15.0, 10.0]
    assert verdict.attempts[1].signals.seconds == 2.0


def test_a_client_that_left_ends_an_agreement_though_others_have_answered():
    agreeing = rung("small", "Agreement", 0.5, models=("large",))
    _, verdict = play(question(agreeing, LARGE), (failed("ClientLeft"), answer()))
    assert (verdict.reason, [one.role for one in verdict.attempts]) == ("ClientLeft", ["peer", "rung"])

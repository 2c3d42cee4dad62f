import pytest
from tests.unit.cascade.play import LARGE, SMALL, answer, failed, play, question, reasons, rung

from folio_api.table import Target
from folio_serving.calibration import Artifact, Calibration, Certificate, Entry, Platt
from folio_serving.conversation import Together

FORMAT = {
    "type": "json_schema",
    "json_schema": {
        "schema": {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}}
    },
}


@pytest.mark.parametrize(
    ("signal", "signals"),
    [("MeanLogprob", {"mean": 0.7}), ("MinLogprob", {"min": 0.7}), ("Score", {"score": 0.7})],
)
def test_each_signal_is_compared_with_its_own_threshold(signal, signals):
    accepted = play(question(rung("small", signal, 0.7), LARGE), answer(**signals))[1]
    assert (accepted.reason, accepted.confidence) == ("", 0.7)
    refused = play(question(rung("small", signal, 0.71), LARGE), answer(**signals), answer())[1]
    assert refused.attempts[0].message == f"{signal} 0.700 is below 0.710"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sorry", "not JSON"),
        ('{"amount": "5"}', "$.amount"),
        ('{"amount": NaN}', "NaN is not JSON"),
        ("{}", "'amount' is a required property"),
    ],
)
def test_json_that_breaks_the_schema_hands_on_and_says_where(text, message):
    asked = question(rung("small", "JsonSchema"), LARGE, response_format=FORMAT)
    _, verdict = play(asked, answer(text=text), answer())
    assert message in verdict.attempts[0].message


def test_json_that_keeps_to_the_schema_is_accepted():
    asked = question(rung("small", "JsonSchema"), LARGE, response_format=FORMAT)
    assert play(asked, answer(text='{"amount": 5}'))[1].reason == ""


def test_without_a_response_format_any_text_keeps_to_it():
    assert play(question(rung("small", "JsonSchema"), LARGE), answer(text="hello"))[1].reason == ""


def test_a_tool_call_is_not_held_against_the_response_format():
    asked = question(rung("small", "JsonSchema"), LARGE, response_format=FORMAT)
    assert play(asked, answer(text="", finish="tool_calls"))[1].reason == ""


def test_agreement_asks_for_samples_together_and_returns_the_most_agreed():
    asked = question(rung("small", "Agreement", 0.3, samples=3), LARGE)
    replies = (answer(text="Rome"), answer(text="Paris"), answer(text="paris."))
    steps, verdict = play(asked, replies)
    assert isinstance(steps[0], Together)
    assert [(ask.model, ask.role, ask.sample) for ask in steps[0].asks] == [
        ("small", "rung", 0),
        ("small", "sample", 1),
        ("small", "sample", 2),
    ]
    assert verdict.answer.payload == "Paris"
    assert verdict.confidence == pytest.approx(1 / 3)
    assert len(verdict.attempts) == 3


def test_agreement_with_peers_returns_the_rungs_own_answer():
    asked = question(rung("small", "Agreement", 0.9, models=("a", "b")), LARGE)
    _, verdict = play(asked, (answer(text="Yes."), answer(text="yes"), answer(text="YES")))
    assert (verdict.answer.payload, verdict.model, verdict.confidence) == ("Yes.", "small", 1.0)
    assert [(attempt.model, attempt.role) for attempt in verdict.attempts] == [
        ("a", "peer"),
        ("b", "peer"),
        ("small", "rung"),
    ]


def test_peers_that_disagree_hand_on():
    asked = question(rung("small", "Agreement", 0.9, models=("a",)), LARGE)
    _, verdict = play(asked, (answer(text="yes"), answer(text="no")), answer(now=102))
    assert verdict.model == "large"


def test_agreement_of_one_answer_is_no_agreement():
    asked = question(rung("small", "Agreement", 0.1, models=("a",)), LARGE)
    _, verdict = play(asked, (answer(), failed()), answer(now=102))
    assert reasons(verdict) == [("a", "Unavailable"), ("small", "NotConfident"), ("large", "")]


def test_peers_cannot_answer_for_a_rung_that_failed():
    asked = question(rung("small", "Agreement", 0.1, models=("a", "b")), LARGE)
    _, verdict = play(asked, (failed("Timeout"), answer(), answer()), answer(now=102))
    assert verdict.model == "large"
    assert ("small", "Timeout") in reasons(verdict)


TARGET = Target(max_error_rate=0.05, confidence=0.9)


def calibrated(signal="MeanLogprob", decoding="greedy"):
    certificate = Certificate(
        max_error_rate=0.05, confidence=0.9, at_least=0.75, samples=500, method="LearnThenTest"
    )
    entry = Entry(
        model="id-small",
        signal=signal,
        decoding=decoding,
        samples=500,
        map=Platt(slope=10, intercept=-5),
        certificates=(certificate,),
    )
    return Calibration.of(Artifact(entries=(entry,)))


AIMED = rung("small", "MeanLogprob", target=TARGET)


def test_a_target_reads_its_threshold_from_the_calibration():
    asked = question(AIMED, LARGE, decoding="greedy", calibration=calibrated())
    assert play(asked, answer(0.75))[1].confidence == pytest.approx(0.9241, abs=1e-4)
    assert play(asked, answer(0.74), answer())[1].model == "large"


def test_the_decoding_class_that_the_replica_reports_decides():
    asked = question(AIMED, LARGE, decoding="greedy", calibration=calibrated())
    _, verdict = play(asked, answer(0.99, decoding="structured"), answer())
    assert verdict.attempts[0].message == "no threshold is certified for structured"


def test_uncalibrated_accept_takes_the_answer():
    asked = question(AIMED, LARGE, accept_uncalibrated=True)
    assert play(asked, answer(0.01))[1].reason == ""


def test_a_threshold_holds_for_its_own_intent_only():
    asked = question(AIMED, LARGE, decoding="greedy", calibration=calibrated(), intent="code")
    assert play(asked, answer(0.99), answer())[1].model == "large"


def test_at_least_compares_the_raw_signal_and_reports_the_calibrated_one():
    asked = question(SMALL, LARGE, decoding="greedy", calibration=calibrated())
    assert play(asked, answer(0.6))[1].confidence == pytest.approx(0.7311, abs=1e-4)

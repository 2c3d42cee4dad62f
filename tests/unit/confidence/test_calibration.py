import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from folio_api.table import Target
from folio_serving.calibration import (
    Artifact,
    Calibration,
    CalibrationError,
    Certificate,
    Entry,
    Isotonic,
    Key,
    Platt,
    parse_calibration,
    read_calibration,
)

KEY = Key("m", "code", "MeanLogprob", "greedy")


def certificate(rate, at_least, confidence=0.9):
    return Certificate(
        max_error_rate=rate, confidence=confidence, at_least=at_least, samples=500, method="ClopperPearson"
    )


def artifact(*certificates, curve=None):
    entry = Entry(
        model="m",
        intent="code",
        signal="MeanLogprob",
        decoding="greedy",
        samples=9,
        map=curve,
        certificates=certificates,
    )
    return Artifact(entries=(entry,))


def digest(content):
    return hashlib.sha256(content).hexdigest()


def test_a_target_gets_the_loosest_threshold_that_keeps_it():
    calibration = Calibration.of(
        artifact(certificate(0.05, 0.8), certificate(0.02, 0.9), certificate(0.01, 0.7, confidence=0.8))
    )
    assert calibration.threshold(KEY, Target(max_error_rate=0.05)) == 0.8
    assert calibration.threshold(KEY, Target(max_error_rate=0.03)) == 0.9
    assert calibration.threshold(KEY, Target(max_error_rate=0.03, confidence=0.8)) == 0.7


def test_a_target_stricter_than_every_certificate_is_uncalibrated():
    calibration = Calibration.of(artifact(certificate(0.05, 0.8)))
    assert calibration.threshold(KEY, Target(max_error_rate=0.04)) is None
    assert calibration.threshold(KEY, Target(max_error_rate=0.05, confidence=0.95)) is None


@pytest.mark.parametrize(
    "other",
    [
        {"model": "n"},
        {"intent": ""},
        {"signal": "MinLogprob"},
        {"decoding": "sampled"},
        {"adapter": "a"},
        {"template": "t"},
    ],
)
def test_nothing_is_taken_over_to_another_key(other):
    calibration = Calibration.of(artifact(certificate(0.05, 0.8), curve=Platt(slope=1, intercept=0)))
    assert calibration.threshold(KEY._replace(**other), Target(max_error_rate=0.05)) is None
    assert calibration.probability(KEY._replace(**other), 0.5) is None


def test_an_isotonic_map_is_a_step_function():
    calibration = Calibration.of(artifact(curve=Isotonic(x=(0.2, 0.5, 0.8), y=(0.1, 0.6, 0.9))))
    assert [calibration.probability(KEY, raw) for raw in (0.0, 0.2, 0.49, 0.5, 1.0)] == [
        0.1,
        0.1,
        0.1,
        0.6,
        0.9,
    ]


@given(st.floats(0, 1e6), st.floats(-1e6, 1e6), st.floats(0, 1), st.floats(0, 1))
def test_a_platt_map_never_falls_and_stays_a_probability(slope, intercept, one, other):
    curve = Platt(slope=slope, intercept=intercept)
    low, high = sorted((one, other))
    assert 0 <= curve.probability(low) <= curve.probability(high) <= 1


@pytest.mark.parametrize(
    "curve",
    [
        {"x": [0.5, 0.2], "y": [0, 1]},
        {"x": [0, 1], "y": [1, 0]},
        {"x": [0], "y": [2]},
        {"x": [0], "y": [0, 1]},
    ],
)
def test_a_map_that_falls_or_leaves_the_range_is_refused(curve):
    with pytest.raises(ValidationError):
        Isotonic(**curve)


def test_the_file_is_read_back_under_its_digest(tmp_path):
    content = artifact(certificate(0.05, 0.8), curve=Platt(slope=2, intercept=-1)).to_bytes()
    (tmp_path / "a.json").write_bytes(content)
    calibration = read_calibration(tmp_path / "a.json", digest(content).upper())
    assert calibration.threshold(KEY, Target(max_error_rate=0.05)) == 0.8


def test_another_digest_is_refused_by_name(tmp_path):
    content = artifact().to_bytes()
    with pytest.raises(
        CalibrationError, match=r"artifact.sha256 is abc, but the file has another one"
    ) as told:
        parse_calibration(content, "abc")
    assert digest(content)[:8] not in str(told.value), "a tuner may name any file of the gateway's pod"


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(CalibrationError, match=r"none\.json cannot be read: No such file"):
        read_calibration(tmp_path / "none.json", "abc")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"format": "folio.calibration/v9"}, "format"),
        ({"entries": [{"model": "m"}]}, "entries.0.signal"),
        ({"surprise": 1}, "surprise"),
        (
            {"entries": [artifact().model_dump(mode="json")["entries"][0]] * 2},
            "two entries have the same key",
        ),
    ],
)
def test_a_wrong_file_is_told_by_field(change, where):
    content = json.dumps({**artifact().model_dump(mode="json"), **change}).encode()
    with pytest.raises(CalibrationError, match=where):
        parse_calibration(content, digest(content))

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from folio_serving.retrieve.evaluate import Outcome, Question, auroc, fitted, read_questions, report
from folio_serving.retrieve.search import Hit, Sentence


def outcome(answer: str | None, cosine: float, coverage: float) -> Outcome:
    hit = Hit("a.md", "A", (Sentence("It is noon.", cosine, coverage),))
    return Outcome(Question("when?", answer, None), (hit,))


def test_auroc_counts_pairs_and_halves_ties() -> None:
    assert auroc(np.array([0.9, 0.5]), np.array([0.5, 0.1])) == pytest.approx(0.875)


def test_the_report_tells_right_kept_and_refused() -> None:
    found = report([outcome("noon", 0.9, 0.9), outcome("nine", 0.9, 0.8), outcome(None, 0.1, 0.1)])
    assert (found.answerable, found.unanswerable) == (2, 1)
    assert (found.right, found.kept_at_half, found.refused_at_half, found.auroc) == (0.5, 1.0, 1.0, 1.0)


def test_a_fit_finds_which_sign_tells() -> None:
    chance = np.random.default_rng(3)
    found = []
    for _ in range(200):
        cosine, coverage = chance.uniform(0, 1, 2)
        found.append(outcome("noon" if coverage + chance.normal(0, 0.1) > 0.5 else None, cosine, coverage))
    cosine_weight, coverage_weight, offset = fitted(found)
    assert coverage_weight > 5 * abs(cosine_weight)
    assert offset < 0


def test_the_committed_questions_are_half_answerable() -> None:
    questions = read_questions(Path(__file__).parent / "corpus" / "harbour-questions.jsonl")
    assert sum(question.answer is not None for question in questions) == len(questions) / 2 == 46

"""How sure it is that a sentence answers a question: a number in 0..1 that means the same for every question.

A logistic function of the two things that tell: how near the sentence is in meaning, and how much of the
question's rare words it and its passage have. Either alone is fooled: a near sentence may be about something
else of the same kind, and shared words may be about nothing.
"""

from __future__ import annotations

import math

COSINE_WEIGHT = 4.0
COVERAGE_WEIGHT = 6.4
OFFSET = -4.4
"""Fitted on 152 questions about two sets of documents by `python -m folio_serving.retrieve.evaluate --fit`;
docs/decisions/0041 has the figures of each set under the other's weights."""


def logit(cosine: float, coverage: float) -> float:
    return COSINE_WEIGHT * cosine + COVERAGE_WEIGHT * coverage + OFFSET


def probability(logit_value: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit_value))

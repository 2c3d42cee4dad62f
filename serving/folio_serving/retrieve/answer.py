"""The extractive answer: one to three sentences of the best passage, as they stand there, with its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from folio_serving.retrieve.search import Hit, Sentence

MOST_SENTENCES = 3
WITHIN_LOGIT = 1.0
"""A further sentence of the best passage is quoted when it is nearly as good as the best one."""
FLOOR = 0.2
"""Below this score a passage is not worth quoting: whatever is asked, some passage gets that much."""


@dataclass(frozen=True)
class Answer:
    text: str
    """Empty when nothing was found."""
    score: float
    passages: tuple[Hit, ...]


NOTHING = Answer("", 0.0, ())


def answered(hits: Sequence[Hit]) -> Answer:
    """Return the answer that the hits, best first, give."""
    worthy = tuple(hit for hit in hits if hit.score >= FLOOR)
    if not worthy:
        return NOTHING
    best = worthy[0]
    quoted = " ".join(sentence.text for sentence in _quoted(best))
    return Answer(f"{quoted} [{best.source}]", best.score, worthy)


def _quoted(hit: Hit) -> list[Sentence]:
    """Return the sentences to quote, in the order of the passage."""
    good = [sentence for sentence in hit.sentences if sentence.logit > hit.best.logit - WITHIN_LOGIT]
    chosen = sorted(good, key=lambda sentence: sentence.logit, reverse=True)[:MOST_SENTENCES]
    return [sentence for sentence in hit.sentences if sentence in chosen]

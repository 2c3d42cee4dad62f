from __future__ import annotations

import pytest

from folio_serving.retrieve.answer import MOST_SENTENCES, NOTHING, answered
from folio_serving.retrieve.score import logit, probability
from folio_serving.retrieve.search import Hit, Sentence


def hit(*sentences: tuple[str, float, float], source: str = "docs/a.md#x") -> Hit:
    return Hit(source, "X", tuple(Sentence(*sentence) for sentence in sentences))


def test_the_best_sentence_is_quoted_with_its_source() -> None:
    found = answered([hit(("It opens at nine.", 0.8, 0.9), ("Dogs may enter.", 0.1, 0.0))])
    assert found.text == "It opens at nine. [docs/a.md#x]"
    assert found.score == probability(logit(0.8, 0.9))


def test_sentences_that_are_nearly_as_good_follow_in_the_documents_order() -> None:
    found = answered([hit(("First.", 0.7, 0.8), ("Between.", 0.0, 0.0), ("Best.", 0.8, 0.8))])
    assert found.text == "First. Best. [docs/a.md#x]"


def test_no_more_than_three_sentences_are_quoted() -> None:
    found = answered([hit(*((f"S{number}.", 0.8, 0.8) for number in range(6)))])
    assert found.text.count(".") == MOST_SENTENCES + 1  # and the one in the source's name


def test_nothing_worthy_is_nothing() -> None:
    assert answered([hit(("It rains.", 0.1, 0.1))]) == NOTHING
    assert answered([]) == NOTHING


def test_poor_passages_are_not_handed_on() -> None:
    good, poor = hit(("Yes.", 0.9, 1.0)), hit(("No.", 0.0, 0.0), source="docs/b.md")
    assert answered([good, poor]).passages == (good,)


@pytest.mark.parametrize("cosine", [-1.0, 0.0, 0.5, 1.0])
def test_the_score_is_a_probability_that_rises_with_either_sign(cosine: float) -> None:
    scores = [probability(logit(cosine, coverage)) for coverage in (0.0, 0.3, 0.7, 1.0)]
    assert scores == sorted(scores)
    assert 0 < scores[0] < scores[-1] < 1
    assert probability(logit(cosine, 0.5)) > probability(logit(cosine - 0.1, 0.5))

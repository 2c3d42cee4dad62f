from __future__ import annotations

import pytest

from folio_serving.retrieve.terms import Rarity, terms


def test_terms_are_stems_without_stop_words() -> None:
    assert terms("What is the price of renting bicycles?") == terms("bicycle rent prices")
    assert terms("what is it, and why?") == frozenset()


def test_a_possessive_is_the_word_itself() -> None:
    assert terms("the doctor's note") == terms("doctor note")


@pytest.mark.parametrize("name", ["maxQueuedRequests", "max_queued_requests", "max-queued-requests"])
def test_a_field_is_found_by_the_words_of_its_name(name: str) -> None:
    assert terms(name) == terms("max queued requests")


def test_words_of_other_alphabets_are_terms(rarity: Rarity) -> None:
    assert len(terms("Müller wohnt in Zürich")) == 3


@pytest.fixture
def rarity() -> Rarity:
    return Rarity.of([terms("bike price"), terms("bike repair"), terms("bike tour")])


def test_a_rare_word_weighs_more_and_an_unknown_one_most(rarity: Rarity) -> None:
    (bike,), (tour,), (kayak,) = terms("bike"), terms("tour"), terms("kayak")
    assert rarity.weight(bike) < rarity.weight(tour) < rarity.weight(kayak)


def test_coverage_is_the_share_of_the_weight(rarity: Rarity) -> None:
    passage = terms("bike price")
    assert rarity.coverage(terms("bike price"), passage) == pytest.approx(1)
    assert rarity.coverage(terms("kayak"), passage) == 0
    assert (
        0 < rarity.coverage(terms("bike kayak"), passage) < rarity.coverage(terms("price kayak"), passage) < 1
    )


def test_a_question_of_stop_words_covers_nothing(rarity: Rarity) -> None:
    assert rarity.coverage(terms("what is it?"), terms("bike")) == 0

from datetime import date
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import bank, dates, evaluation, general, payments
from tasks.calendar_words import DAY_FORMS, number_words, ordinal, ordinal_words, year_words
from tasks.grade import canonical_payment, is_right
from tasks.items import Item, Split, Task, load, save

PAYMENT = Item(
    "p", Task.PAYMENT, "q", ('{"date":"2026-03-03","amount":"40.00","payee":"Zsófia Szabó"}',), Split.TEST
)


def item(task: Task, *expected: str) -> Item:
    return Item("x", task, "q", expected, Split.TEST)


def test_a_payment_is_right_in_any_spacing_and_order() -> None:
    assert is_right(PAYMENT, '{"payee": "Zsófia Szabó", "amount": "40.00", "date": "2026-03-03"}')


@pytest.mark.parametrize(
    "answer", ["", "{}", "[1]", "null", '{"date":"2026-03-03","amount":"40.00","payee":"Zsofia Szabo"}', "{"]
)
def test_a_payment_is_wrong_when_a_member_differs_or_is_missing(answer: str) -> None:
    assert not is_right(PAYMENT, answer)


def test_a_payment_with_another_member_is_no_payment() -> None:
    assert canonical_payment('{"date":"d","amount":"1","payee":"p","note":""}') == ""


def test_labels_and_dates_must_be_equal_to_the_letter() -> None:
    assert is_right(item(Task.BANK, "card_arrival"), " card_arrival\n")
    assert not is_right(item(Task.DATE, "2026-03-03"), "2026-03-03.")


def test_any_accepted_form_of_a_duration_is_right() -> None:
    assert is_right(item(Task.DATE, "P14D", "P2W"), "P2W")


def test_a_general_answer_is_a_whole_word_of_the_text_in_any_case() -> None:
    assert is_right(item(Task.GENERAL, "Paris"), "the capital of france is PARIS.")
    assert not is_right(item(Task.GENERAL, "ice"), "The price")
    assert not is_right(item(Task.GENERAL, "A"), "Banana")


def test_a_refusal_is_right_only_for_a_fact_that_is_nowhere() -> None:
    assert is_right(item(Task.FACTS), "", refused=True)
    assert not is_right(item(Task.FACTS, "kopf"), "", refused=True)
    assert not is_right(item(Task.BANK, "card_arrival"), "", refused=True)
    assert not is_right(item(Task.FACTS), "kopf is used")


def test_the_committed_items_are_those_that_the_seed_makes(tmp_path: Path) -> None:
    save(tmp_path / "again.jsonl", evaluation.evaluation_items())
    assert (tmp_path / "again.jsonl").read_text() == evaluation.FILE.read_text(), (
        "run `python -m tasks.evaluation`"
    )


def test_at_least_600_items_test_and_every_task_is_among_them() -> None:
    test = [one for one in load(evaluation.FILE) if one.split is Split.TEST]
    assert len(test) >= 600
    assert {one.task for one in test} == set(Task)
    assert min(sum(one.task is task for one in test) for task in Task) >= 60


def test_no_two_items_have_an_id_or_a_question_in_common() -> None:
    items = load(evaluation.FILE)
    assert len({one.id for one in items}) == len(items)
    assert len({one.prompt for one in items}) == len(items)


def test_nothing_that_trains_is_asked_later() -> None:
    held_out = evaluation.held_out_prompts()
    assert not held_out & {one.prompt for one in bank.train_items()}
    rng = Random(1)
    made = payments.payment_items(Split.TRAIN, 300, rng, held_out) + dates.date_items(
        Split.TRAIN, 300, rng, held_out
    )
    assert not held_out & {one.prompt for one in made}


def test_the_tail_written_by_hand_holds_at_least_60_test_items() -> None:
    assert sum(one.split is Split.TEST for one in dates.hard_items()) >= 60


@pytest.mark.parametrize("pair", [("train", "test"), ("train", "val"), ("val", "test")])
def test_templates_of_the_splits_have_nothing_in_common(pair: tuple[str, str]) -> None:
    templates = payments.WORDS["templates"]
    assert not set(templates[pair[0]]) & set(templates[pair[1]])


def test_payees_of_the_test_are_in_no_other_split() -> None:
    others = {*payments.WORDS["shops"], *payments.WORDS["unusual_payees"]["val"]}
    assert not set(payments.WORDS["unusual_payees"]["test"]) & others


def test_every_template_has_each_slot_once() -> None:
    for templates in payments.WORDS["templates"].values():
        for template in templates:
            assert [template.count(slot) for slot in ("{amount}", "{payee}", "{date}")] == [1, 1, 1], template


def test_the_same_seed_makes_the_same_items() -> None:
    assert payments.payment_items(Split.TEST, 20, Random(4)) == payments.payment_items(
        Split.TEST, 20, Random(4)
    )


@given(st.integers(0, 2**32))
def test_every_payment_states_the_payee_that_is_asked_for(seed: int) -> None:
    made = payments.payment_item(Split.TEST, Random(seed), 0)
    assert made.expected[0].rsplit('"', 2)[1] in made.prompt
    assert is_right(made, made.expected[0])


@given(st.integers(0, 2**32))
def test_every_date_of_the_grammar_is_an_iso_date_or_duration(seed: int) -> None:
    _, iso = dates.grammar_pair(Random(seed))
    assert iso[0] == "P" or len(iso) == 7 or date.fromisoformat(iso)


def test_no_two_forms_of_a_day_are_the_same() -> None:
    day = date(2026, 3, 4)
    assert len({form(day) for form in DAY_FORMS}) == len(DAY_FORMS)


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "zero"), (13, "thirteen"), (40, "forty"), (99, "ninety-nine"), (115, "one hundred and fifteen"),
     (2000, "two thousand"), (9999, "nine thousand nine hundred and ninety-nine")],
)  # fmt: skip
def test_numbers_in_words(number: int, words: str) -> None:
    assert number_words(number) == words


@pytest.mark.parametrize(
    ("day", "short", "long"),
    [(1, "1st", "first"), (2, "2nd", "second"), (11, "11th", "eleventh"), (22, "22nd", "twenty-second"),
     (23, "23rd", "twenty-third"), (30, "30th", "thirtieth")],
)  # fmt: skip
def test_ordinals(day: int, short: str, long: str) -> None:
    assert (ordinal(day), ordinal_words(day)) == (short, long)


@pytest.mark.parametrize(
    ("year", "words"), [(1998, "nineteen ninety-eight"), (2000, "two thousand"), (2007, "two thousand and seven"), (2026, "twenty twenty-six")]
)  # fmt: skip
def test_years_in_words(year: int, words: str) -> None:
    assert year_words(year) == words


def test_general_questions_are_at_least_80_and_all_test() -> None:
    items = general.general_items()
    assert len(items) >= 80
    assert {one.split for one in items} == {Split.TEST}

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from folio_serving.retrieve.documents import Document
from folio_serving.retrieve.passages import (
    PASSAGE_CHARACTERS,
    SENTENCE_CHARACTERS,
    Passage,
    passages,
    split_sentences,
)
from folio_serving.retrieve.sections import Paragraph, Section


def cut(*paragraphs: str, whole: bool = False) -> list[Passage]:
    section = Section(("Guide", "Prices"), "prices", tuple(Paragraph(text, whole) for text in paragraphs))
    return list(passages(Document("docs/a.md", (section,))))


def test_sentences_end_at_full_stops_but_not_at_abbreviations() -> None:
    text = "Pay by card, e.g. Visa. It costs 3.50 euros! Really? Dr. Who agrees."
    assert split_sentences(text) == [
        "Pay by card, e.g. Visa.",
        "It costs 3.50 euros!",
        "Really?",
        "Dr. Who agrees.",
    ]


def test_a_table_row_is_one_sentence() -> None:
    (passage,) = cut("bike: City. Net; day: 15", whole=True)
    assert passage.sentences == ("bike: City. Net; day: 15",)


def test_a_passage_knows_its_source_and_its_headings() -> None:
    (passage,) = cut("One.", "Two.")
    assert (passage.source, passage.context, passage.text) == (
        "docs/a.md#prices",
        "Guide > Prices",
        "One. Two.",
    )
    assert passage.in_context("One.") == "Prices: One."


def test_text_before_any_heading_is_cited_by_its_file() -> None:
    document = Document("docs/a.txt", (Section(("a",), "", (Paragraph("One."),)),))
    assert next(passages(document)).source == "docs/a.txt"


@given(st.lists(st.text(alphabet="ab .\n", min_size=1, max_size=2000), min_size=1, max_size=4))
def test_no_passage_is_too_long_and_no_word_is_lost(paragraphs: list[str]) -> None:
    found = cut(*paragraphs)
    assert all(len(passage.text) <= PASSAGE_CHARACTERS + SENTENCE_CHARACTERS for passage in found)
    assert all(
        0 < len(sentence) <= SENTENCE_CHARACTERS for passage in found for sentence in passage.sentences
    )
    kept = "".join("".join(passage.text.split()) for passage in found)
    assert kept == "".join("".join(text.split()) for text in paragraphs)

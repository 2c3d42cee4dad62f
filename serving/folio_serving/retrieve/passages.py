"""Documents to passages: pieces small enough for the embedder, each with its sentences and its source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from folio_serving.retrieve.documents import Document
from folio_serving.retrieve.sections import Section

PASSAGE_CHARACTERS = 900
"""About 200 tokens of English: with its headings a passage stays below the embedder's 256."""
SENTENCE_CHARACTERS = 400

SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9`])")
ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|cf|vs|approx|no|fig|Mr|Mrs|Ms|Dr|St)|\b[A-Z])\.$")


@dataclass(frozen=True)
class Passage:
    source: str
    """`path#anchor`: what an answer cites."""
    titles: tuple[str, ...]
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.sentences)

    @property
    def context(self) -> str:
        """The headings, without which many a sentence does not say what it is about."""
        return " > ".join(self.titles)

    def in_context(self, sentence: str) -> str:
        return f"{self.titles[-1]}: {sentence}"


def passages(document: Document) -> Iterator[Passage]:
    for section in document.sections:
        source = f"{document.source}#{section.anchor}" if section.anchor else document.source
        for piece in _packed(_sentences(section)):
            yield Passage(source, section.titles, piece)


def _sentences(section: Section) -> Iterator[str]:
    for paragraph in section.paragraphs:
        for sentence in [paragraph.text] if paragraph.whole else split_sentences(paragraph.text):
            yield from _bounded(sentence)


def split_sentences(paragraph: str) -> list[str]:
    """Return the paragraph's sentences; a full stop after an abbreviation ends none."""
    found: list[str] = []
    for part in SENTENCE_END.split(paragraph):
        if found and ABBREVIATION.search(found[-1]):
            found[-1] = f"{found[-1]} {part}"
        elif part.strip():
            found.append(part.strip())
    return found


def _bounded(sentence: str) -> Iterator[str]:
    """Yield the sentence in bounded pieces, cut at line ends or spaces where there are any."""
    while len(sentence) > SENTENCE_CHARACTERS:
        cut = max(sentence.rfind(mark, 1, SENTENCE_CHARACTERS) for mark in ("\n", " "))
        cut = cut if cut > SENTENCE_CHARACTERS // 4 else SENTENCE_CHARACTERS
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence


def _packed(sentences: Iterable[str]) -> Iterator[tuple[str, ...]]:
    piece: list[str] = []
    characters = 0
    for sentence in sentences:
        if piece and characters + len(sentence) > PASSAGE_CHARACTERS:
            yield tuple(piece)
            piece, characters = [], 0
        piece.append(sentence)
        characters += len(sentence) + 1
    if piece:
        yield tuple(piece)

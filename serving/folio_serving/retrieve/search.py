"""Asks an index: candidates by vector and by BM25, then one score for every sentence of every candidate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from folio_serving.retrieve.index import INDEX_FILE, TABLE, TERMS_FILE, IndexHeader, IndexingError
from folio_serving.retrieve.score import logit, probability
from folio_serving.retrieve.terms import Rarity, terms

CANDIDATES = 20
"""From each of the two searches."""
COLUMNS = ["id", "source", "context", "sentences", "sentence_vectors"]


@dataclass(frozen=True)
class Sentence:
    text: str
    cosine: float
    coverage: float
    """Share of the question's telling words that the sentence and its passage have, averaged."""

    @property
    def logit(self) -> float:
        return logit(self.cosine, self.coverage)


@dataclass(frozen=True)
class Hit:
    """A passage that may answer."""

    source: str
    context: str
    sentences: tuple[Sentence, ...]

    @property
    def best(self) -> Sentence:
        return max(self.sentences, key=lambda sentence: sentence.logit)

    @property
    def score(self) -> float:
        return probability(self.best.logit)

    @property
    def text(self) -> str:
        return " ".join(sentence.text for sentence in self.sentences)


class Index:
    """An open index. Make one with `Index.open`."""

    def __init__(self, header: IndexHeader, table: Any, rarity: Rarity) -> None:
        self.header = header
        self._table = table
        self._rarity = rarity

    @classmethod
    async def open(cls, directory: Path) -> Index:
        header = IndexHeader.read(directory)
        try:
            frequency = json.loads((directory / TERMS_FILE).read_text())
            database = await lancedb.connect_async(str(directory))
            table = await database.open_table(TABLE)
        except (OSError, ValueError, RuntimeError) as error:
            raise IndexingError(
                f"{directory}: {INDEX_FILE} is there, the rest is not; build it again"
            ) from error
        return cls(header, table, Rarity(header.passages, frequency))

    async def search(self, question: str, vector: Sequence[float], limit: int) -> list[Hit]:
        """Return at most `limit` passages, best first. `vector` is the question, by the index's embedder."""
        nearest = self._table.query().nearest_to(list(vector)).distance_type("cosine")
        worded = await self._table.search(question, query_type="fts")
        queries = ((nearest, "_distance"), (worded, "_score"))
        found = [await query.select([*COLUMNS, rank]).limit(CANDIDATES).to_arrow() for query, rank in queries]
        asked, direction = terms(question), np.asarray(vector, dtype=np.float32)
        hits = [self._hit(row, asked, direction) for row in _distinct(found)]
        return sorted(hits, key=lambda hit: hit.score, reverse=True)[:limit]

    def _hit(self, row: _Row, asked: frozenset[str], direction: NDArray[np.float32]) -> Hit:
        words = [terms(f"{row.context} {sentence}") for sentence in row.sentences]
        whole = self._rarity.coverage(asked, frozenset().union(*words))
        cosines = row.vectors @ direction
        return Hit(
            row.source,
            row.context,
            tuple(
                Sentence(text, float(cosine), (whole + self._rarity.coverage(asked, own)) / 2)
                for text, cosine, own in zip(row.sentences, cosines, words, strict=True)
            ),
        )


@dataclass(frozen=True)
class _Row:
    source: str
    context: str
    sentences: tuple[str, ...]
    vectors: NDArray[np.float32]
    """One row a sentence."""


def _distinct(tables: Sequence[pa.Table]) -> list[_Row]:
    rows: dict[int, _Row] = {}
    for table in tables:
        columns = [table.column(name).combine_chunks() for name in COLUMNS]
        for number, source, context, sentences, vectors in zip(*columns, strict=True):
            key = number.as_py()
            if key not in rows:
                texts = tuple(sentences.as_py())
                flat = vectors.values.to_numpy(zero_copy_only=False).astype(np.float32)
                rows[key] = _Row(source.as_py(), context.as_py(), texts, flat.reshape(len(texts), -1))
    return list(rows.values())

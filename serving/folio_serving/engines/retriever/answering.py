"""From a question to the quoted answer with its passages: vector, search, extraction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from folio_serving.engines.encoder.replica import NamedVectors
from folio_serving.engines.light import Embedded, Reply, words
from folio_serving.engines.retriever.live import LiveIndex
from folio_serving.errors import Trouble
from folio_serving.retrieve.answer import NOTHING, Answer, answered
from folio_serving.retrieve.index import IndexHeader, IndexingError
from folio_serving.retrieve.search import Hit

SCORE_DIGITS = 4


class QuestionEmbedder(Protocol):
    async def vectors(self, text: str) -> NamedVectors:
        """Return the question's vector; Trouble when the embedder does not answer."""


class Answering:
    """The retriever behind the wire."""

    def __init__(self, model: str, index: LiveIndex, embedder: QuestionEmbedder, most_passages: int) -> None:
        self._model = model
        self._index = index
        self._embedder = embedder
        self._most_passages = most_passages

    async def reply(self, text: str) -> Reply:
        found = answered(await self._hits(text)) if text.strip() else NOTHING
        return Reply(found.text, found.score, words(text), beside={"folio": _passages(found)})

    async def embedded(self, texts: Sequence[str]) -> Embedded:  # noqa: ARG002 - the Protocol's
        raise Trouble("Unsupported", f"{self._model} makes no embeddings: ask /v1/chat/completions", "model")

    async def _hits(self, text: str) -> list[Hit]:
        question = await self._embedder.vectors(text)
        try:
            index = await self._index.current()
            _check_embedder(self._model, index.header, question)
            return await self._index.search(text, question.vectors[0], self._most_passages)
        except IndexingError as error:
            raise Trouble("Unavailable", f"{self._model}: {error}") from error


def _check_embedder(model: str, header: IndexHeader, question: NamedVectors) -> None:
    if header.embedder != question.embedder:
        raise Trouble(
            "Unavailable",
            f"{model}: its index was built with embedder {header.embedder}, but embedderRef answers as "
            f"{question.embedder}: build the index again with `folio index`, or name the right embedder",
        )


def _passages(answer: Answer) -> dict[str, Any]:
    return {
        "passages": [
            {"text": hit.text, "source": hit.source, "score": round(hit.score, SCORE_DIGITS)}
            for hit in answer.passages
        ]
    }

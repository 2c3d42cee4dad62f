"""Classifiers that need a model: MiniLM's vectors, from the portfolio or from this process, or a model's own
word.

Whatever keeps one from answering in time, the policy's n-grams stand in: a classifier never fails a request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from folio_api.table import Model, Table
from folio_serving.asking import AskError, read_texts, whole_answer, within
from folio_serving.backends import Backend, Call
from folio_serving.classify.intent import examples_of, opinion_of_answer, vector_classifier
from folio_serving.classify.opinion import NO_OPINION, IntentClassifier, Opinion, VectorClassifier
from folio_serving.conversation import Answer
from folio_serving.engines.signals import Wanted
from folio_serving.route import Consult

if TYPE_CHECKING:
    from folio_serving.classify.minilm import Embedder

CONSULT_SECONDS = 2.0
LEARN_SECONDS = 60.0
_ANSWER_TOKENS = 16

log = logging.getLogger("folio.consulting")
Backends = Mapping[str, Backend]


class Consultant:
    """One table's classifier. Where a model of the portfolio embeds, the examples are learned when it first
    answers.
    """

    def __init__(self, table: Table, stand_in: IntentClassifier | None, embedder: Embedder | None) -> None:
        self._table = table
        self._stand_in = stand_in
        self._embedder = embedder
        self._judge: VectorClassifier | None = None
        self._learning: asyncio.Task[None] | None = None
        if embedder is not None:
            examples = list(examples_of(table).texts)
            self._judge = vector_classifier(table, embedder.embed(examples).tolist()) if examples else None

    async def opinion(self, consult: Consult, backends: Backends, request_id: str) -> Opinion:
        """Return what the classifier says of the text."""
        try:
            if consult.type == "Model":
                return await self._word(consult, backends, request_id)
            return await self._vector_opinion(consult, backends, request_id)
        except AskError as error:
            log.info("the classifier did not answer: %s", error.message)
            return self._own(consult.text)

    def _own(self, text: str) -> Opinion:
        return self._stand_in.classify(text) if self._stand_in is not None else NO_OPINION

    async def _vector_opinion(self, consult: Consult, backends: Backends, request_id: str) -> Opinion:
        if consult.model is None:
            return await self._embedded_here(consult.text)
        if self._judge is None:
            self._learn(backends[consult.model])
            return self._own(consult.text)
        vectors = await _vectors(backends[consult.model], [consult.text], request_id, CONSULT_SECONDS)
        return self._judge.classify_vector(vectors[0])

    async def _embedded_here(self, text: str) -> Opinion:
        if self._embedder is None or self._judge is None:
            return self._own(text)
        loop = asyncio.get_running_loop()
        vectors = await loop.run_in_executor(None, self._embedder.embed, [text])
        return self._judge.classify_vector(vectors[0].tolist())

    def _learn(self, backend: Backend) -> None:
        if self._learning is None or self._learning.done():
            self._learning = asyncio.get_running_loop().create_task(self._learn_from(backend))

    async def _learn_from(self, backend: Backend) -> None:
        try:
            examples = list(examples_of(self._table).texts)
            vectors = await _vectors(backend, examples, "folio-examples", LEARN_SECONDS)
            self._judge = vector_classifier(self._table, vectors)
        except (AskError, ValueError) as error:
            log.warning("the examples are not learned yet: %s", error)

    async def _word(self, consult: Consult, backends: Backends, request_id: str) -> Opinion:
        assert consult.model is not None, "a classifier of type Model names one"
        backend = backends[consult.model]
        names = [intent.name for intent in self._table.intents]
        call = Call(
            "/v1/chat/completions", _question(backend.model, consult.text, names), Wanted(), request_id
        )
        work = whole_answer(backend, call, needs_text=False)
        answer: Answer = await within(CONSULT_SECONDS, consult.model, work)
        texts, _ = read_texts(answer.payload.body)
        return opinion_of_answer(texts[0] if texts else "", answer.signals.score, dict.fromkeys(names))


def _question(model: Model, text: str, names: list[str]) -> dict[str, Any]:
    """Return the request: an encoder was trained on the labels, any other model has to be told them."""
    asked = {"role": "user", "content": text}
    if model.engine == "encoder":
        return {"model": model.name, "messages": [asked]}
    told = f"Which of these is the user's message about? Answer with one name only: {', '.join(names)}."
    messages = [{"role": "system", "content": told}, asked]
    return {"model": model.name, "messages": messages, "max_tokens": _ANSWER_TOKENS, "temperature": 0}


async def _vectors(backend: Backend, texts: list[str], request_id: str, seconds: float) -> list[list[float]]:
    call = Call("/v1/embeddings", {"model": backend.model.name, "input": texts}, Wanted(), request_id)
    work = whole_answer(backend, call, needs_text=False)
    answer: Answer = await within(seconds, backend.model.name, work)
    try:
        entries = orjson.loads(answer.payload.body)["data"]
        return [entry["embedding"] for entry in sorted(entries, key=lambda entry: entry["index"])]
    except (orjson.JSONDecodeError, LookupError, TypeError) as error:
        raise AskError("UpstreamError", f"{backend.model.name}: its embeddings cannot be read") from error

"""Classifiers that need a model: MiniLM's vectors, from the portfolio or from this process, or a model's own
word.

Whatever keeps one from answering in time, the policy's n-grams stand in: a classifier never fails a request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from folio_api.table import Model, Table
from folio_serving.asking import AskError, read_texts, whole_answer, within
from folio_serving.backends import Backend, Call
from folio_serving.classify.intent import examples_of, opinion_of_answer, vector_classifier
from folio_serving.classify.opinion import NO_OPINION, IntentClassifier, Opinion, VectorClassifier
from folio_serving.confidence import Signals
from folio_serving.conversation import Answer, Attempt, Reason
from folio_serving.cost import cut_off, estimate_tokens, expected_usd, spent
from folio_serving.engines.signals import Wanted
from folio_serving.fleet import Fleet
from folio_serving.route import Consult

if TYPE_CHECKING:
    from folio_serving.classify.minilm import Embedder

CONSULT_SECONDS = 2.0
LEARN_SECONDS = 60.0
_ANSWER_TOKENS = 16

log = logging.getLogger("folio.consulting")
Backends = Mapping[str, Backend]


@dataclass(frozen=True, slots=True)
class Consultation:
    """One query's question to a classifier that is a model: what it may take, and what it took."""

    consult: Consult
    backends: Backends
    fleet: Fleet
    request_id: str
    seconds_left: float
    usd_left: float | None = None
    """None: no limit."""
    expected_seconds: Mapping[str, float] = field(default_factory=dict)
    """Busy seconds that a classifier's call lately took, by model."""
    attempts: list[Attempt] = field(default_factory=list)
    """Filled as models are asked, so that it is whole whatever ends the query."""

    async def answer(self, call: Call, text: str, most_tokens: int) -> Answer:
        """Return the answer of the classifier's model; raises AskError. Either way it is noted."""
        backend = self.backends[call.body["model"]]
        self._check_cost(backend.model, text, most_tokens)
        began = time.monotonic()
        try:
            self.fleet.check_awake(backend)
            told = replace(call, prompt_tokens=estimate_tokens(text))
            work = whole_answer(backend, told, needs_text=False)
            seconds = min(CONSULT_SECONDS, self.seconds_left)
            answer: Answer = await within(seconds, backend.model.name, work)
        except AskError as error:
            used = _cut_off(text, began) if error.reason == "Timeout" else None
            self._note(backend.model, began, used, error.reason, error.message)
            raise
        except asyncio.CancelledError:
            self._note(backend.model, began, _cut_off(text, began), "ClientLeft", "the client left")
            raise
        self._note(backend.model, began, answer.signals)
        return answer

    def _check_cost(self, model: Model, text: str, most_tokens: int) -> None:
        if self.usd_left is None:
            return
        seconds = self.expected_seconds.get(model.name, 0.0)
        usd = expected_usd(model.price, estimate_tokens(text), most_tokens, seconds)
        if usd > self.usd_left:
            message = f"would cost about {usd:.6f} USD of {self.usd_left:.6f} USD"
            self._note(model, time.monotonic(), None, "OverBudget", message)
            raise AskError("OverBudget", f"{model.name} {message}")

    def _note(
        self, model: Model, began: float, used: Signals | None, reason: Reason = "", message: str = ""
    ) -> None:
        self.attempts.append(
            Attempt(
                rung=None,
                model=model.name,
                reason=reason,
                message=message,
                role="classifier",
                asked=reason != "OverBudget",
                signals=used,
                usd=spent(model.price, used).usd,
                elapsed_seconds=time.monotonic() - began,
            )
        )


def _cut_off(text: str, began: float) -> Signals:
    return cut_off(None, estimate_tokens(text), time.monotonic() - began)


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

    async def opinion(self, asked: Consultation) -> Opinion:
        """Return what the classifier says of the text."""
        try:
            if asked.consult.type == "Model":
                return await self._word(asked)
            return await self._vector_opinion(asked)
        except AskError as error:
            log.info("the classifier did not answer: %s", error.message)
            return self._own(asked.consult.text)

    def _own(self, text: str) -> Opinion:
        return self._stand_in.classify(text) if self._stand_in is not None else NO_OPINION

    async def _vector_opinion(self, asked: Consultation) -> Opinion:
        model, text = asked.consult.model, asked.consult.text
        if model is None:
            return await self._embedded_here(text)
        if self._judge is None:
            self._learn(asked.backends[model], asked.fleet)
            return self._own(text)
        answer = await asked.answer(_embedding(model, [text], asked.request_id), text, 0)
        return self._judge.classify_vector(_vectors(model, answer)[0])

    async def _embedded_here(self, text: str) -> Opinion:
        if self._embedder is None or self._judge is None:
            return self._own(text)
        loop = asyncio.get_running_loop()
        vectors = await loop.run_in_executor(None, self._embedder.embed, [text])
        return self._judge.classify_vector(vectors[0].tolist())

    def _learn(self, backend: Backend, fleet: Fleet) -> None:
        if self._learning is None or self._learning.done():
            self._learning = asyncio.get_running_loop().create_task(self._learn_from(backend, fleet))

    async def _learn_from(self, backend: Backend, fleet: Fleet) -> None:
        try:
            fleet.check_awake(backend)
            examples = list(examples_of(self._table).texts)
            name = backend.model.name
            work = whole_answer(backend, _embedding(name, examples, "folio-examples"), needs_text=False)
            vectors = _vectors(name, await within(LEARN_SECONDS, name, work))
            self._judge = vector_classifier(self._table, vectors)
        except (AskError, ValueError) as error:
            log.warning("the examples are not learned yet: %s", error)

    async def _word(self, asked: Consultation) -> Opinion:
        assert asked.consult.model is not None, "a classifier of type Model names one"
        names = [intent.name for intent in self._table.intents]
        question = _question(asked.backends[asked.consult.model].model, asked.consult.text, names)
        call = Call("/v1/chat/completions", question, Wanted(), asked.request_id)
        prompt = " ".join(message["content"] for message in question["messages"])
        answer = await asked.answer(call, prompt, _ANSWER_TOKENS)
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


def _embedding(model: str, texts: list[str], request_id: str) -> Call:
    return Call("/v1/embeddings", {"model": model, "input": texts}, Wanted(), request_id)


def _vectors(model: str, answer: Answer) -> list[list[float]]:
    try:
        entries = orjson.loads(answer.payload.body)["data"]
        return [entry["embedding"] for entry in sorted(entries, key=lambda entry: entry["index"])]
    except (orjson.JSONDecodeError, LookupError, TypeError) as error:
        raise AskError("UpstreamError", f"{model}: its embeddings cannot be read") from error

"""The classifier that a policy's examples make: learned anew, within a second, whenever a table is
compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from folio_api.table import Table
from folio_serving.classify.fewshot import learn_texts, learn_vectors
from folio_serving.classify.ngram import Grams, Head
from folio_serving.classify.opinion import NO_OPINION, IntentClassifier, Opinion, VectorClassifier
from folio_serving.classify.train import Recipe, train_head

MOST_FOR_RIDGE = 1024
"""Its time grows with the cube of the examples: beyond, descent is faster and has enough to learn from."""
_FEW = Grams(buckets=2**14)
_MANY = Recipe(grams=_FEW, epochs=3, rejecting=0.05)
"""Fewer passes than for a specialist: a gateway replica learns this while it takes a table."""


class Examples(NamedTuple):
    texts: tuple[str, ...]
    labels: tuple[str, ...]


def examples_of(table: Table) -> Examples:
    """Return every intent's examples, in an order that the table's own does not change."""
    pairs = sorted({(intent.name, text) for intent in table.intents for text in intent.examples})
    return Examples(tuple(text for _, text in pairs), tuple(name for name, _ in pairs))


def intent_classifier(table: Table) -> IntentClassifier | None:
    """Return the n-gram classifier of a table; None when no intent has examples."""
    examples = examples_of(table)
    return learn_intents(examples) if examples.texts else None


def vector_classifier(table: Table, vectors: list[list[float]]) -> VectorClassifier | None:
    """Return the classifier over embeddings; `vectors` are those of `examples_of(table).texts`, in that
    order.
    """
    examples = examples_of(table)
    if len(vectors) != len(examples.texts):
        raise ValueError(f"{len(vectors)} vectors for {len(examples.texts)} examples")
    return learn_vectors(vectors, examples.labels) if vectors else None


def learn_intents(examples: Examples) -> Head:
    if len(examples.texts) <= MOST_FOR_RIDGE:
        return learn_texts(examples.texts, examples.labels, _FEW)
    return train_head(examples.texts, examples.labels, _MANY)


def opinion_of_answer(content: str, score: float | None, intents: Mapping[str, Any]) -> Opinion:
    """Return what a model's answer says, for `classifier: {type: Model}`: its content names an intent, or
    nothing does.

    A model that reports no score counts as sure: it was told to pick.
    """
    said = content.strip().strip("\"'`.").casefold()
    label = next((name for name in intents if name.casefold() == said), None)
    return Opinion(label, 1.0 if score is None else score) if label is not None else NO_OPINION

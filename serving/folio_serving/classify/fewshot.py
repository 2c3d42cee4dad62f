"""Learns to tell labels apart, and when to say none of them, from a handful of examples: ridge regression
in its dual.

One inversion of a matrix as large as the examples are many gives everything in closed form: the weights,
every example's score by a model that has not seen it (to scale confidences), and every label's scores by a
model that knows nothing of that label (what foreign texts will look like, to know where to reject).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from folio_serving.classify.ngram import Floats, Grams, Head, Meta, features
from folio_serving.classify.train import best_temperature, dense_rows

_PENALTY = 0.2
"""Measured on CLINC150 with 5 to 20 examples an intent: 0.1 to 0.3 is flat, 1.0 loses up to 5 points."""
_REJECTED_OF_ONE = 0.1
"""With one label nothing tells what foreign texts score: the share of its own examples that is given up."""
_LEAST_TEMPERATURE = 0.1
"""Scores lie within about -1 and 1: examples that part perfectly are no reason to be surer than this."""
_LEAST_NOTHING = 0.15
"""Never accept on less, however few examples there are: a text that shares nothing with them scores 0."""


def learn_texts(texts: Sequence[str], labels: Sequence[str], grams: Grams) -> Head:
    """Return a head over n-grams."""
    active, rows = dense_rows([features(text, grams) for text in texts])
    names, wanted = _numbered(labels)
    ridge = _solve(rows, wanted, len(names))
    weights = np.zeros((grams.buckets, len(names)), dtype=np.float32)
    weights[active] = rows.T @ ridge.dual
    return _head(ridge, weights, names, wanted, {"kind": "ngram", "grams": grams})


def learn_vectors(vectors: Sequence[Sequence[float]] | Floats, labels: Sequence[str]) -> Head:
    """Return a head over embeddings of length 1."""
    rows = np.asarray(vectors, dtype=np.float32)
    names, wanted = _numbered(labels)
    ridge = _solve(rows, wanted, len(names))
    return _head(ridge, (rows.T @ ridge.dual).astype(np.float32), names, wanted, {"kind": "vector"})


@dataclass(frozen=True, slots=True)
class _Ridge:
    dual: Floats
    unseen: Floats
    """Each example's scores by a model that has not seen it."""
    foreign: Floats
    """Each example's best score by a model that does not know its label; empty with one label."""


def _numbered(labels: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    names = tuple(sorted(set(labels)))
    return names, np.array([names.index(label) for label in labels], dtype=np.int64)


def _solve(rows: Floats, wanted: NDArray[np.int64], labels: int) -> _Ridge:
    count = len(wanted)
    targets = np.full((count, labels), -1 / max(1, labels - 1), dtype=np.float32)
    targets[np.arange(count), wanted] = 1
    with threadpool_limits(limits=1, user_api="blas"):
        kernel = rows @ rows.T + _PENALTY * np.eye(count, dtype=np.float32)
        inverse = np.linalg.inv(kernel).astype(np.float32)
        dual = inverse @ targets
        unseen = targets - dual / np.diag(inverse)[:, None]
        foreign = [_without(label, inverse, dual, targets, wanted) for label in range(labels)]
    return _Ridge(dual, unseen, np.concatenate(foreign) if labels > 1 else np.empty(0, dtype=np.float32))


def _without(label: int, inverse: Floats, dual: Floats, targets: Floats, wanted: NDArray[np.int64]) -> Floats:
    """Return the best other label's score of each of a label's examples, were the label unknown."""
    own = np.flatnonzero(wanted == label)
    block = inverse[np.ix_(own, own)]
    scores = targets[own] - np.linalg.solve(block, dual[own])
    best: Floats = np.delete(scores, label, axis=1).max(axis=1, initial=-np.inf)
    return best


def _head(
    ridge: _Ridge, weights: Floats, names: tuple[str, ...], wanted: NDArray[np.int64], meta: dict[str, Any]
) -> Head:
    nothing = _nothing(ridge)
    with_nothing = np.column_stack([ridge.unseen, np.full(len(wanted), nothing, dtype=np.float32)])
    notes = {"examples": len(wanted), "left_out_accuracy": _share(ridge.unseen.argmax(axis=1) == wanted)}
    scale = max(_LEAST_TEMPERATURE, best_temperature(with_nothing, wanted))
    bias = np.zeros(len(names), dtype=np.float32)
    return Head(weights, bias, names, Meta(**meta, temperature=scale, nothing=nothing, notes=notes))


def _nothing(ridge: _Ridge) -> float:
    """Return the score under which a text is of no label: where left-out and foreign examples part best."""
    known = ridge.unseen.max(axis=1)
    if not len(ridge.foreign):
        return max(_LEAST_NOTHING, float(np.quantile(known, _REJECTED_OF_ONE)))
    candidates = np.unique(np.concatenate([[0.0], known, ridge.foreign]))
    kept = (known >= candidates[:, None]).mean(axis=1)
    let_in = (ridge.foreign >= candidates[:, None]).mean(axis=1)
    best = int((kept - let_in).argmax())
    # Half way down to the next score: examples that are much alike would else ask the same of every text.
    below = max(0.0, float(candidates[best - 1])) if best else 0.0
    return max(_LEAST_NOTHING, (float(candidates[best]) + below) / 2)


def _share(hits: NDArray[np.bool_]) -> float:
    return round(float(hits.mean()), 4)

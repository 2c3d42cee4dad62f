"""Learns linear heads with numpy alone: logistic regression for labelled data, ridge for a few examples.

Deterministic: the same examples give the same head, so that every gateway replica routes alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from folio_serving.classify.ngram import Features, Floats, Grams, Head, Meta, features

_GRAMS = Grams()
_SEED = 7
_HELD_OUT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of `train_head`; the defaults are those measured in bench/router.py."""

    grams: Grams = _GRAMS
    epochs: int = 6
    batch: int = 128
    step: float = 0.2
    decay: float = 1e-6
    """L2 penalty."""
    rejecting: float = 0.0
    """Share of the rightly labelled held-out texts that is given up, so that unsure ones get no label."""


_RECIPE = Recipe()


def train_head(texts: Sequence[str], labels: Sequence[str], recipe: Recipe = _RECIPE) -> Head:
    """Learn to label texts.

    A tenth is held out to scale the probabilities; the head itself learns from everything.
    """
    names = tuple(sorted(set(labels)))
    if len(texts) != len(labels) or len(names) < 2:
        raise ValueError("a head needs one label a text, and at least two different labels")
    rows = [features(text, recipe.grams) for text in texts]
    wanted = np.array([names.index(label) for label in labels])
    meta = _meta(rows, wanted, len(names), recipe)
    whole = _fit(rows, wanted, len(names), recipe)
    return Head(whole.weights, whole.bias, names, meta)


def _meta(rows: Sequence[Features], wanted: NDArray[np.int64], labels: int, recipe: Recipe) -> Meta:
    """Return what a head that has not seen a tenth of the texts says of them."""
    order = np.random.default_rng(_SEED).permutation(len(rows))
    held, kept = np.split(order, [max(1, int(len(rows) * _HELD_OUT_SHARE))])
    trial = _fit([rows[i] for i in kept], wanted[kept], labels, recipe)
    logits = np.stack([trial.logits(rows[i]) for i in held])
    right = logits.argmax(axis=1) == wanted[held]
    scale = best_temperature(logits, wanted[held])
    sure = _softmax(logits / scale).max(axis=1)[right]
    notes = {"texts": len(rows), "held_out": len(held), "held_out_accuracy": round(float(right.mean()), 4)}
    return Meta(
        kind="ngram",
        temperature=scale,
        grams=recipe.grams,
        reject_below=float(np.quantile(sure, recipe.rejecting)) if recipe.rejecting and len(sure) else 0.0,
        notes=notes,
    )


def best_temperature(logits: Floats, wanted: NDArray[np.int64]) -> float:
    """Return the temperature under which the softmax of held-out logits is most likely."""
    grid = np.geomspace(0.01, 20, 120)
    return float(min(grid, key=lambda candidate: _surprise(logits / candidate, wanted)))


@dataclass(frozen=True, slots=True)
class _Linear:
    weights: Floats
    bias: Floats

    def logits(self, row: Features) -> Floats:
        found: Floats = row.values @ self.weights[row.buckets] + self.bias
        return found


def _fit(rows: Sequence[Features], wanted: NDArray[np.int64], labels: int, recipe: Recipe) -> _Linear:
    """Minimise the log loss by AdaGrad over small batches: only the rows of a batch's own n-grams move."""
    linear = _Linear(
        np.zeros((recipe.grams.buckets, labels), dtype=np.float32), np.zeros(labels, dtype=np.float32)
    )
    seen = np.full((recipe.grams.buckets, labels), 1e-8, dtype=np.float32)
    # On matrices this small BLAS threads wait for each other: 8 CPU seconds with one, 90 with two.
    with threadpool_limits(limits=1, user_api="blas"):
        for batch in _batches(len(rows), recipe):
            _step(linear, seen, [rows[i] for i in batch], wanted[batch], recipe)
    return linear


def _batches(rows: int, recipe: Recipe) -> Iterator[NDArray[np.int64]]:
    chance = np.random.default_rng(_SEED)
    for _ in range(recipe.epochs):
        order = chance.permutation(rows)
        yield from (order[start : start + recipe.batch] for start in range(0, rows, recipe.batch))


def _step(
    linear: _Linear, seen: Floats, rows: Sequence[Features], wanted: NDArray[np.int64], recipe: Recipe
) -> None:
    active, dense = dense_rows(rows)
    weights = linear.weights[active]
    error = _softmax(dense @ weights + linear.bias)
    error[np.arange(len(rows)), wanted] -= 1
    gradient = dense.T @ error / len(rows) + recipe.decay * weights
    squares = seen[active] + gradient**2
    seen[active] = squares
    linear.weights[active] = weights - recipe.step * gradient / np.sqrt(squares)
    linear.bias[:] -= recipe.step * error.mean(axis=0)


def dense_rows(rows: Sequence[Features]) -> tuple[NDArray[np.int64], Floats]:
    """Return the buckets that the rows use, and the rows as a dense matrix over just those."""
    buckets = np.concatenate([row.buckets for row in rows])
    active, column = np.unique(buckets, return_inverse=True)
    dense = np.zeros((len(rows), len(active)), dtype=np.float32)
    line = np.repeat(np.arange(len(rows)), [len(row.buckets) for row in rows])
    np.add.at(dense, (line, column), np.concatenate([row.values for row in rows]))
    return active, dense


def _softmax(logits: Floats) -> Floats:
    scaled = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = (scaled / scaled.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _surprise(logits: Floats, wanted: NDArray[np.int64]) -> float:
    shares = _softmax(logits)[np.arange(len(wanted)), wanted]
    return float(-np.log(np.maximum(shares, 1e-12)).mean())

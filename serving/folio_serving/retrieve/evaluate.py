"""How well an index's score tells questions that its documents answer from those that they do not.

`python -m folio_serving.retrieve.evaluate INDEX EMBEDDER QUESTIONS.jsonl [--fit]`. A line of the questions is
{"question", "answer"?, "source"?}; without an answer the documents must not have one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from folio_serving.classify.minilm import Embedder
from folio_serving.retrieve.answer import Answer, answered
from folio_serving.retrieve.search import Hit, Index

RIDGE = 0.3


@dataclass(frozen=True)
class Question:
    text: str
    answer: str | None
    """A string that a right answer has; None when the documents have none."""
    source: str | None


@dataclass(frozen=True)
class Outcome:
    question: Question
    hits: tuple[Hit, ...]

    @property
    def answer(self) -> Answer:
        return answered(self.hits)

    @property
    def right(self) -> bool:
        return self.question.answer is not None and self.question.answer.lower() in self.answer.text.lower()


@dataclass(frozen=True)
class Report:
    answerable: int
    unanswerable: int
    auroc: float
    brier: float
    right: float
    """Share of the answerable questions whose answer has the string."""
    refused_at_half: float
    """Share of the unanswerable questions with a score below 0.5."""
    kept_at_half: float
    """Share of the answerable questions with a score of 0.5 or more."""


def read_questions(path: Path) -> list[Question]:
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return [Question(line["question"], line.get("answer"), line.get("source")) for line in lines]


async def outcomes(
    index: Index, embedder: Embedder, questions: Sequence[Question], limit: int = 4
) -> list[Outcome]:
    found = []
    for question in questions:
        vector = embedder.embed([question.text])[0]
        found.append(Outcome(question, tuple(await index.search(question.text, vector.tolist(), limit))))
    return found


def report(found: Sequence[Outcome]) -> Report:
    scores = np.array([outcome.answer.score for outcome in found])
    answerable = np.array([outcome.question.answer is not None for outcome in found])
    return Report(
        answerable=int(answerable.sum()),
        unanswerable=int((~answerable).sum()),
        auroc=auroc(scores[answerable], scores[~answerable]),
        brier=float(np.mean((scores - answerable) ** 2)),
        right=float(np.mean([outcome.right for outcome in found if outcome.question.answer is not None])),
        refused_at_half=float(np.mean(scores[~answerable] < 0.5)),
        kept_at_half=float(np.mean(scores[answerable] >= 0.5)),
    )


def auroc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Return how often a positive's score is above a negative's; a tie is half."""
    difference = positive[:, None] - negative[None, :]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def fitted(found: Sequence[Outcome]) -> NDArray[np.float64]:
    """Return the weights of cosine and coverage and the offset that fit these questions best."""
    best = [outcome.hits[0].best for outcome in found if outcome.hits]
    features = np.array([[sentence.cosine, sentence.coverage, 1.0] for sentence in best])
    truth = np.array([outcome.question.answer is not None for outcome in found if outcome.hits])
    weights = np.zeros(3)
    ridge = np.diag([RIDGE, RIDGE, 1e-9])
    for _ in range(50):  # Newton's method: converges in about ten steps
        chance = 1.0 / (1.0 + np.exp(-features @ weights))
        gradient = features.T @ (chance - truth) + ridge @ weights
        curvature = (features * (chance * (1.0 - chance))[:, None]).T @ features + ridge
        weights = weights - np.linalg.solve(curvature, gradient)
    return weights


async def _run(options: argparse.Namespace) -> None:
    index = await Index.open(options.index)
    found = await outcomes(index, Embedder.load(options.embedder), read_questions(options.questions))
    for name, value in vars(report(found)).items():
        print(f"{name:16} {value:.3f}" if isinstance(value, float) else f"{name:16} {value}")  # noqa: T201
    if options.fit:
        print("fitted: cosine {:.2f}, coverage {:.2f}, offset {:.2f}".format(*fitted(found)))  # noqa: T201


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m folio_serving.retrieve.evaluate", description=__doc__)
    parser.add_argument("index", type=Path)
    parser.add_argument("embedder", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--fit", action="store_true", help="also fit the score's weights to these questions")
    asyncio.run(_run(parser.parse_args(arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

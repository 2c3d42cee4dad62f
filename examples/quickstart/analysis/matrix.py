"""What every model answered to every item, as arrays: the one input of every figure.

A strategy is replayed on these answers, so that strategies are compared on the very same ones.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.grade import is_right, refusal_is_right
from tasks.items import Item

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reply:
    """One model's answer to one item, asked by its own name; an error where it cannot do the task."""

    item: str
    model: str
    answer: str
    confidence: float
    cpu_seconds: float
    usd: float
    latency_seconds: float
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str = ""


@dataclass(frozen=True)
class Matrix:
    """Rows are items, columns models. `refusal_right` says where refusing is the right answer."""

    items: tuple[Item, ...]
    models: tuple[str, ...]
    right: Floats
    confidence: Floats
    cpu_seconds: Floats
    usd: Floats
    latency_seconds: Floats
    refusal_right: Floats
    intents: tuple[str, ...]
    """The intent that the gateway's router gave each item, right or not."""

    def column(self, model: str) -> int:
        return self.models.index(model)

    def only(self, rows: Sequence[int] | NDArray[np.int64]) -> "Matrix":
        kept = np.asarray(rows, dtype=np.int64)
        return Matrix(
            items=tuple(self.items[row] for row in kept),
            models=self.models,
            right=self.right[kept],
            confidence=self.confidence[kept],
            cpu_seconds=self.cpu_seconds[kept],
            usd=self.usd[kept],
            latency_seconds=self.latency_seconds[kept],
            refusal_right=self.refusal_right[kept],
            intents=tuple(self.intents[row] for row in kept),
        )

    def where(self, split: str) -> "Matrix":
        return self.only([row for row, item in enumerate(self.items) if item.split == split])


class IncompleteError(Exception):
    """The matrix lacks answers, so that no strategy can be replayed on it."""


def matrix(
    items: Sequence[Item], models: Sequence[str], replies: Sequence[Reply], intents: dict[str, str]
) -> Matrix:
    found = {(reply.item, reply.model): reply for reply in replies}
    missing = [(item.id, model) for item in items for model in models if (item.id, model) not in found]
    missing += [(item.id, "its intent") for item in items if item.id not in intents]
    if missing:
        raise IncompleteError(f"{len(missing)} answers are missing, first {missing[0]}: run the matrix again")
    grid = [[found[item.id, model] for model in models] for item in items]
    return Matrix(
        items=tuple(items),
        models=tuple(models),
        right=_array(
            [[_graded(item, reply) for reply in row] for item, row in zip(items, grid, strict=True)]
        ),
        confidence=_array([[reply.confidence for reply in row] for row in grid]),
        cpu_seconds=_array([[reply.cpu_seconds for reply in row] for row in grid]),
        usd=_array([[reply.usd for reply in row] for row in grid]),
        latency_seconds=_array([[reply.latency_seconds for reply in row] for row in grid]),
        refusal_right=_array([refusal_is_right(item) for item in items]),
        intents=tuple(intents[item.id] for item in items),
    )


def save_replies(path: Path, replies: Sequence[Reply]) -> None:
    path.write_text(
        "".join(json.dumps(asdict(r), ensure_ascii=False) + "\n" for r in replies), encoding="utf-8"
    )


def load_replies(path: Path) -> list[Reply]:
    return [Reply(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _graded(item: Item, reply: Reply) -> bool:
    return not reply.error and is_right(item, reply.answer)


def _array(values: Any) -> Floats:
    return np.array(values, dtype=np.float64)

"""One question whose answer a string comparison can check."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Task(StrEnum):
    BANK = "bank"
    PAYMENT = "payment"
    DATE = "date"
    FACTS = "facts"
    GENERAL = "general"


class Split(StrEnum):
    TRAIN = "train"
    VAL = "val"
    TEST = "test"


@dataclass(frozen=True)
class Item:
    """`expected` holds every accepted answer; for FACTS none means that only a refusal is right."""

    id: str
    task: Task
    prompt: str
    expected: tuple[str, ...]
    split: Split
    kind: str = ""

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.prompt}]


def save(path: Path, items: Iterable[Item]) -> None:
    path.write_text(
        "".join(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in items), encoding="utf-8"
    )


def load(path: Path) -> list[Item]:
    return [_item(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _item(row: dict[str, Any]) -> Item:
    return Item(
        id=row["id"],
        task=Task(row["task"]),
        prompt=row["prompt"],
        expected=tuple(row["expected"]),
        split=Split(row["split"]),
        kind=row.get("kind", ""),
    )

"""Task A: a bank customer's message to one of Banking77's 77 intents (Casanueva et al. 2020, CC-BY-4.0)."""

import csv
from collections import defaultdict
from pathlib import Path
from random import Random

from tasks.items import Item, Split, Task

DATA = Path(__file__).parent.parent / "data" / "banking77"
VALIDATION_PER_INTENT = 3
SHOWN_TEST_PER_INTENT = 4
VALIDATION_SEED = 77


def train_items() -> list[Item]:
    """Return the training split less what validates and less what the test repeats word for word."""
    held = {item.prompt for item in (*validation_items(), *_items("test", Split.TEST))}
    return [item for item in _items("train", Split.TRAIN) if item.prompt not in held]


def validation_items() -> list[Item]:
    return _sample(_items("train", Split.VAL), VALIDATION_PER_INTENT, Random(VALIDATION_SEED))


def held_out_items(rng: Random, per_intent: int | None = SHOWN_TEST_PER_INTENT) -> list[Item]:
    every = _items("test", Split.TEST)
    return every if per_intent is None else _sample(every, per_intent, rng)


def _items(name: str, split: Split) -> list[Item]:
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [
        Item(f"bank-{name}-{number:05}", Task.BANK, row["text"].strip(), (row["category"],), split)
        for number, row in enumerate(rows)
    ]


def _sample(items: list[Item], per_intent: int, rng: Random) -> list[Item]:
    by_intent: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_intent[item.expected[0]].append(item)
    return [item for group in by_intent.values() for item in rng.sample(group, per_intent)]

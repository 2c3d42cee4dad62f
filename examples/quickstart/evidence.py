"""The committed response matrix, read and checked against its digest."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.matrix import Matrix, Reply, load_replies, matrix
from matrix import ABOUT, FOLDER, INTENTS, REPLIES, asked_items
from tasks.items import Split


class TamperedError(Exception):
    """A file of the matrix is not the one that its digest was taken of."""


@dataclass(frozen=True)
class Evidence:
    validation: Matrix
    test: Matrix
    replies: dict[tuple[str, str], Reply]
    """By item and model."""
    intents: dict[str, str]
    about: dict[str, Any]


def is_recorded(folder: Path = FOLDER) -> bool:
    return (folder / ABOUT).is_file()


def evidence(folder: Path = FOLDER) -> Evidence:
    about: dict[str, Any] = json.loads((folder / ABOUT).read_text())
    for name, digest in about["sha256"].items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise TamperedError(f"{folder / name} is not what {ABOUT} says: make quickstart-matrix")
    replies = load_replies(folder / REPLIES)
    intents: dict[str, str] = json.loads((folder / INTENTS).read_text())
    models = tuple(dict.fromkeys(reply.model for reply in replies))
    items = [item for item in asked_items(full=True) if item.id in intents]
    found = matrix(items, models, replies, intents)
    return Evidence(
        validation=found.where(Split.VAL),
        test=found.where(Split.TEST),
        replies={(reply.item, reply.model): reply for reply in replies},
        intents=intents,
        about=about,
    )

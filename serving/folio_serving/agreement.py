"""How much several answers agree: the share of pairs whose normalised answers are the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

SAMPLING_TEMPERATURE = 0.7
"""For samples of a request that asked for greedy decoding: equal samples would always agree."""
_EDGES = " \t\n.,;:!?\"'`*_()[]"
_NUMBER = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def agreement(answers: Sequence[Sequence[str]]) -> float | None:
    """Return the share of agreeing pairs; `answers` holds each answer's choices.

    Choices are compared place by place, and the least agreement counts. None when fewer than two answers
    came.
    """
    if len(answers) < 2 or not all(answers):
        return None
    places = min(len(choices) for choices in answers)
    return min(_pairs_agreeing([choices[place] for choices in answers]) for place in range(places))


def most_agreed(answers: Sequence[Sequence[str]]) -> int:
    """Return the index of the answer that most others agree with; of equals the first."""
    normal = [tuple(normalised(choice) for choice in choices) for choices in answers]
    return max(range(len(normal)), key=lambda index: (normal.count(normal[index]), -index))


def normalised(text: str) -> str:
    """Return what an answer says, without how it is written: JSON by value, else words without case and
    edges.
    """
    if (stripped := text.strip())[:1] in ("{", "["):
        try:
            return json.dumps(json.loads(stripped), sort_keys=True)
        except (ValueError, RecursionError):
            pass
    return " ".join(_NUMBER.sub("", text).casefold().split()).strip(_EDGES)


def resampled(body: Mapping[str, Any], sample: int) -> dict[str, Any]:
    """Return the request that draws another sample: another seed where one is set, and never greedy."""
    changed = dict(body)
    if changed.get("temperature") == 0:
        changed["temperature"] = SAMPLING_TEMPERATURE
    if isinstance(seed := changed.get("seed"), int):
        changed["seed"] = seed + sample
    return changed


def _pairs_agreeing(texts: Sequence[str]) -> float:
    pairs = list(combinations([normalised(text) for text in texts], 2))
    return sum(left == right for left, right in pairs) / len(pairs)

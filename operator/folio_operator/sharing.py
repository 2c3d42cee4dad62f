"""Hundreds of portfolios say much the same: what is the same of their objects is in memory once.

What is shared must never be changed, which holds for all that the store gives out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LONGEST_SHARED = 256
"""Longer texts are hardly ever said twice."""


@dataclass
class Shared:
    """The parts of JSON that were seen lately, each under what it is made of."""

    most: int = 10_000
    _known: dict[object, Any] = field(default_factory=dict)
    """A part that is made of others is known by their identities, which hold while it does: it keeps them."""

    def of(self, value: Any) -> Any:
        """Return the same JSON, made of parts that others are made of too."""
        if len(self._known) > self.most:
            self._known.clear()
        return self._part(value)[0]

    def _part(self, value: Any) -> tuple[Any, object]:
        """Return the part, and what tells it from every other one."""
        if isinstance(value, str):
            return (self._known.setdefault(value, value) if len(value) <= LONGEST_SHARED else value), value
        if isinstance(value, dict):
            return self._dict(value)
        if isinstance(value, list):
            parts = [self._part(each) for each in value]
            made = [part for part, _ in parts]
            return self._whole(made, (list, *(told for _, told in parts)))
        return value, (type(value), value)

    def _dict(self, value: dict[str, Any]) -> tuple[Any, object]:
        made: dict[str, Any] = {}
        told: list[object] = []
        for name, each in value.items():
            key = self._known.setdefault(name, name)
            made[key], of = self._part(each)
            told += (key, of)
        return self._whole(made, (dict, *told))

    def _whole(self, made: Any, told: object) -> tuple[Any, object]:
        known = self._known.setdefault(told, made)
        return known, _Same(known)


@dataclass(frozen=True, slots=True, eq=False)
class _Same:
    """Stands for one object: equal to what stands for the same object, and to nothing else."""

    part: Any

    def __hash__(self) -> int:
        return id(self.part)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.part is self.part

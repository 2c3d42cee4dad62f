"""What is cheap to make again is kept only while it is likely to be asked for."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass
class Recent(Generic[K, V]):
    """A mapping of the entries that were used last."""

    most: int
    _entries: dict[K, V] = field(default_factory=dict)
    """In the order of their last use."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        found = self._entries.pop(key, None)
        if found is not None:
            self._entries[key] = found
        return found

    def put(self, key: K, value: V) -> None:
        self._entries.pop(key, None)
        self._entries[key] = value
        if len(self._entries) > self.most:
            del self._entries[next(iter(self._entries))]

    def forget(self, key: K) -> None:
        self._entries.pop(key, None)

"""What the queue holds, and which pass an item gets."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from folio_api.meta import Key
from folio_operator.children import PORTFOLIO_LABEL
from folio_operator.cluster import INPUTS, MODEL, POLICY, PORTFOLIO, Body, Kind, key_of
from folio_operator.gather import Gatherer

Pass = Callable[[Key], Awaitable[float | None]]
Timed = Callable[[str, str, float], None]
"""Told the kind, the result and the seconds of every pass."""


class Item(NamedTuple):
    """An object to look at."""

    kind: Kind
    key: Key

    def __str__(self) -> str:
        return f"{self.kind.name} {self.key.namespace}/{self.key.name}"


@dataclass(frozen=True)
class Passes:
    """Runs the pass that belongs to an item's kind, and times it."""

    by_kind: Mapping[Kind, Pass]
    timed: Timed

    async def run(self, item: Item) -> float | None:
        began, result = time.monotonic(), "error"
        try:
            after = await self.by_kind[item.kind](item.key)
            result = "success"
        finally:
            self.timed(item.kind.name, result, time.monotonic() - began)
        return after


def concerned(kind: Kind, body: Body, gatherer: Gatherer) -> Iterator[Item]:
    """Return what is to be looked at after something about this object changed."""
    key = key_of(body)
    if kind in INPUTS:
        yield Item(kind, key)
    if kind in (POLICY, MODEL):
        yield from (Item(PORTFOLIO, each.key) for each in gatherer.users(kind, key))
    elif kind not in INPUTS:
        owner = (body["metadata"].get("labels") or {}).get(PORTFOLIO_LABEL)
        if owner:
            yield Item(PORTFOLIO, Key(key.namespace, owner))

"""Secrets and ConfigMaps, read by name and never watched: the operator may not list them.

A found one is read again every ten minutes, a missing one after 5 s and then ever more rarely; the annotation
folio.dev/refresh on the portfolio asks at once.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from folio_api.meta import Key
from folio_operator.children import PORTFOLIO_LABEL
from folio_operator.cluster import CONFIG_MAP, SECRET, Body, Cluster, Kind, key_of

REFRESH = "folio.dev/refresh"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds between two looks."""

    found: float = 600.0
    missing_first: float = 5.0
    missing_most: float = 60.0
    jitter: float = 0.2


@dataclass(frozen=True, slots=True)
class _Look:
    body: Body | None
    due: float
    misses: int = 0


@dataclass
class Reader:
    """Remembers what it read, so that a pass costs no request while nothing is due."""

    cluster: Cluster
    clock: Callable[[], float]
    rhythm: Rhythm = field(default_factory=Rhythm)
    rng: random.Random = field(default_factory=partial(random.Random))
    _looks: dict[tuple[Kind, Key], _Look] = field(default_factory=dict)
    _asked: dict[Key, str] = field(default_factory=dict)
    """The refresh annotation of each portfolio as last seen."""

    async def read(self, kind: Kind, key: Key) -> Body | None:
        look = self._looks.get((kind, key))
        if look is None or self.clock() >= look.due:
            look = self._next(await self.cluster.get(kind, key), look)
            self._looks[kind, key] = look
        return look.body

    def known(self, kind: Kind, key: Key) -> Body | None:
        """Return what the last look found, without another."""
        look = self._looks.get((kind, key))
        return look.body if look else None

    def wrote(self, kind: Kind, key: Key, body: Body) -> None:
        """Take note of our own write, which is as good as a look."""
        self._looks[kind, key] = self._next(body, None)

    def seconds_until_due(self, kind: Kind, key: Key) -> float:
        look = self._looks.get((kind, key))
        return max(0.0, look.due - self.clock()) if look else 0.0

    def refresh(self, portfolio: Key, asked: str, subjects: list[tuple[Kind, Key]]) -> None:
        """Forget what is known of the subjects if the annotation is another one than before."""
        if self._asked.get(portfolio, "") != asked:
            self._asked[portfolio] = asked
            for subject in subjects:
                self._looks.pop(subject, None)

    def forget(self, portfolio: Key) -> None:
        """A portfolio is gone, and what it owned with it: its successor of the same name owns nothing.

        What nobody has read for long, others that are gone had referred to.
        """
        self._asked.pop(portfolio, None)
        stale = self.clock() - self.rhythm.found
        for subject, look in list(self._looks.items()):
            if _is_of(look.body, portfolio) or look.due < stale:
                del self._looks[subject]

    def look_again(self, kind: Kind, key: Key) -> None:
        """Forget what is known of an object, so that the next read asks for it."""
        self._looks.pop((kind, key), None)

    def _next(self, body: Body | None, before: _Look | None) -> _Look:
        misses = 0 if body is not None else (before.misses if before else 0) + 1
        most = self.rhythm.missing_most
        seconds = self.rhythm.found if body else min(self.rhythm.missing_first * 2.0 ** (misses - 1), most)
        spread = seconds * (1 + self.rhythm.jitter * (2 * self.rng.random() - 1))
        return _Look(body, self.clock() + spread, misses)


def _is_of(body: Body | None, portfolio: Key) -> bool:
    labels = body["metadata"].get("labels") or {} if body is not None else {}
    return body is not None and (key_of(body).namespace, labels.get(PORTFOLIO_LABEL)) == portfolio


def values(body: Body) -> Mapping[str, bytes]:
    """Return what a Secret or a ConfigMap holds, by key."""
    if body["kind"] == SECRET.name:
        return {key: base64.b64decode(value) for key, value in (body.get("data") or {}).items()}
    assert body["kind"] == CONFIG_MAP.name
    return {key: value.encode() for key, value in (body.get("data") or {}).items()}

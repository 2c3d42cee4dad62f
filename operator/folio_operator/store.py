"""What the watches have seen: the newest version of every object of Folio's kinds and of their children.

Passes read only this. It is filled by kopf's indexing, which ends before any handler runs, and by what our
own writes return, so that a pass never mistakes its own last write for something missing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from folio_api.meta import Key
from folio_operator.children import PORTFOLIO_LABEL
from folio_operator.cluster import (
    CHILDREN,
    INPUTS,
    POD,
    PORTFOLIO,
    REVISION,
    Body,
    Kind,
    Trace,
    key_of,
    kind_of,
    uid_of,
    version_of,
)
from folio_operator.naming import Naming
from folio_operator.obstacles import slim
from folio_operator.recent import Recent
from folio_operator.sharing import Shared

MOST_TOMBSTONES = 10_000
MOST_ECHOES = 10_000


@dataclass
class Store:
    """Objects by kind and key."""

    _objects: dict[Kind, dict[Key, Body]] = field(default_factory=lambda: defaultdict(dict))
    _owned: dict[Key, set[tuple[Kind, Key]]] = field(default_factory=lambda: defaultdict(set))
    _naming: Naming = field(default_factory=Naming)
    _shared: Shared = field(default_factory=Shared)
    _echoes: Recent[tuple[str, int], bool] = field(default_factory=lambda: Recent(MOST_ECHOES))
    """Writes of ours whose events are still to come."""
    _gone: Recent[str, int] = field(default_factory=lambda: Recent(MOST_TOMBSTONES))
    """The uids that were deleted, and at which version: a late answer to a write must not bring them back. A
    watch by labels says deleted too of what lost its label, and lives on in newer versions.
    """

    def put(self, body: Body) -> bool:
        """Keep the object unless a newer version is here; return whether it was news."""
        kind, key = kind_of(body), key_of(body)
        if not self.lacks(kind, Trace(key, uid_of(body), version_of(body))):
            return False
        body = self._shared.of(_lean(kind, body))
        if kind is REVISION:
            body = _sharing(body, self.children(_portfolio_key(body), (REVISION,)))
        self._objects[kind][key] = body
        if kind is PORTFOLIO:
            self._naming.put(body)
        elif kind not in INPUTS:
            self._owned[_portfolio_key(body)].add((kind, key))
        return True

    def wrote(self, body: Body) -> None:
        """Keep what came of a write of ours, and holds nothing new besides: its event asks for no pass."""
        if self.put(body):
            self._echoes.put((uid_of(body), version_of(body)), value=True)

    def found(self, body: Body) -> None:
        """Keep what the API server has just shown, asked for it by name: it lives, whatever watches said."""
        self._gone.forget(uid_of(body))
        self.put(body)

    def is_echo(self, body: Body) -> bool:
        """Return whether this event is of such a write. It is told once."""
        written = (uid_of(body), version_of(body))
        is_ours = self._echoes.get(written) is not None
        self._echoes.forget(written)
        return is_ours

    def lacks(self, kind: Kind, trace: Trace) -> bool:
        """Return whether that version of that object would be news.

        Versions of one object rise; of two objects with one name the later seen is the newer.
        """
        known = self._objects[kind].get(trace.key)
        is_newer = known is None or uid_of(known) != trace.uid or trace.version > version_of(known)
        gone = self._gone.get(trace.uid)
        return is_newer and (gone is None or trace.version > gone)

    def drop(self, body: Body) -> None:
        """Forget a deleted object; a successor of the same name stays."""
        kind, key = kind_of(body), key_of(body)
        self._gone.put(uid_of(body), version_of(body))
        known = self._objects[kind].get(key)
        if known is not None and uid_of(known) == uid_of(body):
            del self._objects[kind][key]
            if kind is PORTFOLIO:
                self._naming.drop(key)
            self._owned[_portfolio_key(known)].discard((kind, key))

    def get(self, kind: Kind, key: Key) -> Body | None:
        return self._objects[kind].get(key)

    def every(self, kind: Kind) -> Iterator[Body]:
        return iter(tuple(self._objects[kind].values()))

    def namers(self, kind: Kind, key: Key) -> Iterator[Body]:
        """Return the portfolios that name a policy or a model."""
        return (self._objects[PORTFOLIO][each] for each in self._naming.namers((kind, key)))

    def in_namespace(self, kind: Kind, namespace: str) -> Iterator[Body]:
        return (body for body in self.every(kind) if key_of(body).namespace == namespace)

    def children(self, portfolio: Key, kinds: Iterable[Kind] = CHILDREN) -> tuple[Body, ...]:
        """Return what carries the portfolio's label, in the order of kinds and names."""
        wanted = tuple(kinds)
        found = (each for each in self._owned.get(portfolio, ()) if each[0] in wanted)
        ordered = sorted(found, key=lambda each: (wanted.index(each[0]), each[1]))
        return tuple(self._objects[kind][key] for kind, key in ordered)

    def count(self, kind: Kind) -> int:
        return len(self._objects[kind])


def _sharing(revision: Body, others: Iterable[Body]) -> Body:
    """Return the revision so that what others of its portfolio keep too is in memory once."""
    data = revision.get("data")
    known = [each for other in others for each in _objects(other)]
    objects = [next((held for held in known if _is_same(held, each)), each) for each in _objects(revision)]
    if not isinstance(data, Mapping) or not objects:
        return revision
    return {**revision, "data": {**data, "objects": objects}}


def _is_same(held: Any, other: Any) -> bool:
    """Return whether both are one JSON: in Python 1 equals True, and a revision must stay what its digest was
    taken of.
    """
    return held == other and json.dumps(held, sort_keys=True) == json.dumps(other, sort_keys=True)


def _objects(revision: Body) -> Sequence[Any]:
    """Return what it keeps; nothing of one that somebody else wrote in another form."""
    data = revision.get("data")
    found = data.get("objects") if isinstance(data, Mapping) else None
    return found if isinstance(found, list) else ()


def _lean(kind: Kind, body: Body) -> Body:
    """Return the object without what no pass reads, so that hundreds of portfolios fit in memory."""
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    lean = {**body, "metadata": metadata}
    return slim(lean) if kind is POD else lean


def _portfolio_key(child: Body) -> Key:
    labels = child["metadata"].get("labels") or {}
    return Key(key_of(child).namespace, labels.get(PORTFOLIO_LABEL, ""))

"""The wiring to kopf: indexing fills the store, and an event only puts a key on the work queue. No decisions.

Only `on.event` and `index`: any other handler would make kopf write finalizers and annotations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import kopf

from folio_api.meta import Key
from folio_operator.children import MANAGED_BY
from folio_operator.cluster import (
    CHILDREN,
    MODEL,
    OF_KUBERAY,
    POD,
    POLICY,
    WATCHED,
    Body,
    Kind,
    key_of,
    stated,
)
from folio_operator.gather import Gatherer
from folio_operator.obstacles import Deaths
from folio_operator.store import Store
from folio_operator.work import Item, concerned

INACTIVITY_SECONDS = 70.0
"""A watch that is silent for longer is opened again."""
IDLE_SECONDS = 1.0
"""kopf keeps a task for each object that was heard of within this time: at a start, for all."""


@dataclass(frozen=True)
class Wiring:
    """What events reach."""

    store: Store
    gatherer: Gatherer
    put: Callable[[Item], None]
    deaths: Deaths
    monotonic: Callable[[], float]
    _told: dict[tuple[Kind, Key], Mapping[str, Any]] = field(default_factory=dict)
    """Of each policy and model, the edit that its portfolios were last told of."""

    def index(self, kind: Kind, body: kopf.Body) -> None:
        self.store.put({"apiVersion": kind.api_version, "kind": kind.name, **body})

    def event(self, kind: Kind, change: str | None, body: kopf.Body) -> None:
        seen: Body = {"apiVersion": kind.api_version, "kind": kind.name, **body}
        if kind is POD:
            self.deaths.note(seen, self.monotonic())
        if change == "DELETED":
            self.store.drop(seen)
            self.gatherer.forget(seen)
        else:
            self.store.put(seen)
        is_echo = self.store.is_echo(seen)
        if kind in (POLICY, MODEL) and not self._is_news(kind, change, seen):
            items: Iterable[Item] = (Item(kind, key_of(seen)),)
        else:
            items = concerned(kind, seen, self.gatherer)
        for item in () if is_echo else items:
            self.put(item)

    def _is_news(self, kind: Kind, change: str | None, seen: Body) -> bool:
        """Return whether portfolios care: a policy of hundreds has a new status whenever one of them has."""
        subject, now = (kind, key_of(seen)), stated(seen)
        if change == "DELETED":
            self._told.pop(subject, None)
            return True
        before, self._told[subject] = self._told.get(subject), now
        return before != now


def build(wiring: Wiring) -> kopf.OperatorRegistry:
    """Return the registry of all handlers."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(kopf.login_via_client)
    for kind in WATCHED:
        _watch(registry, wiring, kind)
    return registry


def _watch(registry: kopf.OperatorRegistry, wiring: Wiring, kind: Kind) -> None:
    def index(body: kopf.Body, **_: Any) -> None:
        wiring.index(kind, body)

    def event(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        wiring.event(kind, type, body)

    group, _, version = kind.api_version.rpartition("/")
    where = {"group": group, "version": version, "plural": kind.plural, "registry": registry}
    kopf.index(**where, id=f"index-{kind.plural}")(_async(index))
    kopf.on.event(**where, id=f"event-{kind.plural}")(_async(event))


class _NothingKept(kopf.DiffBaseStorage):  # type: ignore[misc]
    """What kopf compares of an object with its last state: nothing. Else it copies it at every event."""

    def build(self, **_: Any) -> dict[str, Any]:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


def _async(function: Callable[..., None]) -> Callable[..., Any]:
    """Run the handler on the loop: kopf would send a plain function to a thread."""

    async def handler(**kwargs: Any) -> None:
        function(**kwargs)

    return handler


def settings(*, namespaced: bool) -> kopf.OperatorSettings:
    """Return kopf's settings: no objects of others, no events of its own, no scan that a Role cannot do."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = namespaced
    chosen.posting.enabled = False
    chosen.persistence.diffbase_storage = _NothingKept()
    chosen.watching.inactivity_timeout = INACTIVITY_SECONDS
    chosen.queueing.idle_timeout = IDLE_SECONDS
    for kind in (*CHILDREN, *OF_KUBERAY):
        chosen.watching.label_selectors[kind.api_version, kind.plural] = f"{MANAGED_BY}=folio"
    return chosen

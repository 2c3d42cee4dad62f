"""Writes the status of the three kinds: only when it says something new, with an event where one turned.

A policy and a model speak for all portfolios that use them, so their status waits until every one
of these has looked at their newest generation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from folio_api.meta import Key
from folio_operator.children import Manifest
from folio_operator.cluster import (
    MODEL,
    POLICY,
    PORTFOLIO,
    ApiError,
    Body,
    Cluster,
    Kind,
    is_same_edit,
    key_of,
    kind_of,
)
from folio_operator.conditions import transitions
from folio_operator.events import Recorder
from folio_operator.exposure import EXPOSED
from folio_operator.gather import Gatherer
from folio_operator.reports import (
    PORTFOLIO_MEMBERS,
    Report,
    has_judged,
    model_status,
    policy_status,
    portfolio_status,
)
from folio_operator.store import Store

WRITTEN: Mapping[Kind, tuple[str, ...]] = {
    PORTFOLIO: PORTFOLIO_MEMBERS,
    POLICY: ("observedGeneration", "conditions", "portfolios"),
    MODEL: ("observedGeneration", "conditions", "portfolios"),
}
"""Members of a status that are ours; others write the rest."""
CONDITIONS = (
    "Accepted",
    "Programmed",
    "ModelsReady",
    "GatewayReady",
    "BudgetAvailable",
    EXPOSED,
    "Ready",
    "Reconciling",
    "Stalled",
)


class Meter(Protocol):
    """Counts what is reported; see metrics.py."""

    def portfolio(self, found: Report) -> None: ...

    def forget(self, portfolio: Key) -> None: ...


@dataclass
class Statuses:
    """Remembers the last report of every portfolio, for the objects that it shares with others."""

    cluster: Cluster
    store: Store
    gatherer: Gatherer
    recorder: Recorder
    meter: Meter
    now: Callable[[], datetime]
    put: Callable[[Kind, Key], None]
    """Asks for a pass over a policy or a model."""
    _reports: dict[Key, Report] = field(default_factory=dict)

    async def portfolio(self, body: Body, found: Report) -> Mapping[str, Any]:
        """Write the portfolio's status; return it as it is stored."""
        before = self._reports.get(found.key)
        self._reports[found.key] = found
        self.meter.portfolio(found)
        if found != before:
            for kind, key in sorted(
                _concerned(found) | (_concerned(before) if before else set()), key=_order
            ):
                self.put(kind, key)
        return await self._write(body, portfolio_status(found, body, self.now()))

    def forget(self, portfolio: Key) -> None:
        """A portfolio is gone: what it used is told."""
        gone = self._reports.pop(portfolio, None)
        self.meter.forget(portfolio)
        for kind, key in sorted(_concerned(gone), key=_order) if gone else ():
            self.put(kind, key)

    async def policy(self, key: Key) -> float | None:
        body = self.store.get(POLICY, key)
        users = [each.key for each in self.gatherer.users(POLICY, key)]
        reports = self._complete(body, users)
        if body is not None and reports is not None:
            await self._write(body, policy_status(body, reports, self.now()))
        return None

    async def model(self, key: Key) -> float | None:
        body = self.store.get(MODEL, key)
        users = [each.key for each in self.gatherer.users(MODEL, key)]
        reports = self._complete(body, users)
        if body is not None and reports is not None:
            await self._write(body, model_status(body, reports, self.now()))
        return None

    def _complete(self, body: Body | None, users: Iterable[Key]) -> list[Report] | None:
        """Return the reports of all users, or None while one has not looked at this generation."""
        if body is None:
            return None
        found = [self._reports.get(user) for user in users]
        done = [each for each in found if each is not None and has_judged(each, body)]
        return done if len(done) == len(found) else None

    async def _write(self, body: Body, status: Manifest) -> Mapping[str, Any]:
        kind, key = kind_of(body), key_of(body)
        before: Mapping[str, Any] = body.get("status") or {}
        if says_the_same(before, status, kind):
            return before
        document = {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "metadata": {"name": key.name, "namespace": key.namespace},
            "status": status,
        }
        try:
            stored = await self.cluster.apply(document, subresource="status")
        except ApiError as error:
            if error.status != 404:
                raise
            return before  # deleted meanwhile
        if is_same_edit(stored, body):
            self.store.wrote(stored)
        else:  # somebody edited it meanwhile
            self.store.put(stored)
        turns = transitions(before.get("conditions") or (), status.get("conditions", ()))
        await self.recorder.record(body, turns, self.now())
        return dict(stored["status"])


def says_the_same(before: Mapping[str, Any], status: Manifest, kind: Kind) -> bool:
    """Return whether the object says all this already, and nothing of ours besides."""
    return _ours(before, kind) == _ours(status, kind)


def _ours(status: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    ours = {name: status[name] for name in WRITTEN[kind] if status.get(name) not in (None, [], ())}
    if "conditions" in ours:
        ours["conditions"] = {each["type"]: each for each in ours["conditions"] if each["type"] in CONDITIONS}
    return ours


def _concerned(found: Report) -> set[tuple[Kind, Key]]:
    """Return the policy and the models that a report speaks of."""
    kinds = {POLICY.name: POLICY, MODEL.name: MODEL}
    return {(kinds[kind], Key(found.key.namespace, name)) for kind, name in found.judged if kind in kinds}


def _order(item: tuple[Kind, Key]) -> tuple[str, Key]:
    return (item[0].name, item[1])

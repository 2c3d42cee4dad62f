"""How a model moves from one Serve application to the next: both stand, the old one answers, and the routing
table passes on what the new one has shown that it can do.

A model moves when the application that it ought to have has another name than the one that the live table
asks (see applications.py). Nothing is remembered but what was last asked for; what follows is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from folio_api.table import GatewayState, Model, ModelState, ReplicaState, Table
from folio_operator.serve_config import GATEWAY

Written = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """What Serve was last asked for."""

    applications: Mapping[str, Written] = field(default_factory=dict)
    """Every application by name, the gateway's without its tables."""
    models: Mapping[str, Written] = field(default_factory=dict)
    """The models of the table that serves."""
    starting: frozenset[str] = frozenset()
    """Applications that only a candidate names."""

    @property
    def nonces(self) -> Mapping[str, str]:
        """Return the nonce that each application carries; empty where it has none."""
        return {
            name: str((each.get("args") or {}).get("nonce", "")) for name, each in self.applications.items()
        }

    @classmethod
    def of(cls, config: Written) -> Asked:
        written = {each["name"]: each for each in config.get("applications") or ()}
        tables: Written = {}
        if GATEWAY in written:
            tables = written[GATEWAY]["deployments"][0].get("user_config") or {}
            written[GATEWAY] = {**written[GATEWAY], "deployments": []}
        active, candidate = (_models(tables.get(each)) for each in ("active", "candidate"))
        return cls(written, active, frozenset(_applications(candidate) - _applications(active)))


@dataclass(frozen=True)
class Past:
    """What was asked for before, and what became of it."""

    asked: Asked
    gateway: GatewayState | None = None
    drained: frozenset[str] = frozenset()
    """Applications that had the time to finish what they began."""


@dataclass(frozen=True)
class Succession:
    """What serves besides what is wanted, until that serves alone."""

    active: Table
    candidate: Table | None = None
    standing: tuple[Written, ...] = ()
    """Applications that stay as they were asked for."""
    starting: frozenset[str] = frozenset()
    """Wanted ones that have not answered yet."""
    draining: Mapping[str, float] = field(default_factory=dict)
    """Those that no table asks any more, with the seconds that they may take to finish."""


def succession(wanted: Table, past: Past | None) -> Succession:
    """Return the tables and the applications that serve on the way to the wanted table."""
    if past is None:
        return Succession(wanted)
    held = dict(_held(wanted, past))
    needed = {each.application for each in held.values()}
    draining = dict(_draining(wanted, past, held))
    standing = [each for name, each in past.asked.applications.items() if name in needed or name in draining]
    if not held:
        return Succession(wanted, standing=tuple(standing), draining=draining)
    models = tuple(held.get(model.name, model) for model in wanted.models)
    return Succession(
        active=wanted.model_copy(update={"models": models}).with_revision(),
        candidate=wanted,
        standing=tuple(standing),
        starting=frozenset(
            each.application for each in wanted.models if each.application and each.name in held
        ),
        draining=draining,
    )


def next_version(gateway: GatewayState | None, revision: str, model: str) -> ModelState | None:
    """Return the least that a gateway replica says of a model under the candidate table of this revision.

    None where one does not hold that table: then nothing can be said of what it asks.
    """
    found = [_candidate_state(each, revision, model) for each in (gateway.replicas if gateway else ())]
    known = [each for each in found if each is not None]
    if not known or len(known) < len(found):
        return None
    return next((each for each in known if each.state != "Ready"), known[0])


def _held(wanted: Table, past: Past) -> Iterable[tuple[str, Model]]:
    """Return the models that are asked at their old application still."""
    for model in wanted.models:
        written = past.asked.models.get(model.name, {})
        old = written.get("application")
        moves = old in past.asked.applications and model.application not in (None, old)
        if moves and not _answers(past.gateway, wanted.revision, model.name):
            yield model.name, _as_it_was(Model.model_validate(written), model)


def _as_it_was(old: Model, model: Model) -> Model:
    """Return the entry of the old application under the rules of today: it may see what both may see."""
    ours = ("application", "identity", "engine", "tasks", "inputs", "features", "context_tokens")
    clearances = tuple(each for each in model.clearances if each in old.clearances)
    return model.model_copy(update={**{name: getattr(old, name) for name in ours}, "clearances": clearances})


def _answers(gateway: GatewayState | None, revision: str, model: str) -> bool:
    found = next_version(gateway, revision, model)
    return found is not None and found.state == "Ready"


def _draining(wanted: Table, past: Past, held: Mapping[str, Model]) -> Iterable[tuple[str, float]]:
    """Return what served these models before; never what was still starting, nor beside another old one."""
    served = {model.name for model in wanted.models if model.application is not None} - held.keys()
    kept = {model.application for model in (*wanted.models, *held.values())}
    for name, application in past.asked.applications.items():
        is_old = name not in kept | past.asked.starting | past.drained
        if is_old and (application.get("args") or {}).get("name") in served:
            yield name, float(application["deployments"][0]["graceful_shutdown_timeout_s"])


def _candidate_state(replica: ReplicaState, revision: str, model: str) -> ModelState | None:
    if replica.candidate != revision:
        return None
    return next((each for each in replica.candidate_models if each.name == model), None)


def _models(table: Written | None) -> dict[str, Written]:
    return {each["name"]: each for each in (table or {}).get("models") or ()}


def _applications(models: Mapping[str, Written]) -> set[str]:
    return {each["application"] for each in models.values() if each.get("application")}


@dataclass
class Drains:
    """Since when each application drains; forgotten at a restart, after which one drains for longer."""

    _due: dict[tuple[object, str], float] = field(default_factory=dict)

    def over(self, portfolio: object, now: float) -> frozenset[str]:
        return frozenset(name for (key, name), due in self._due.items() if key == portfolio and due <= now)

    def note(self, portfolio: object, found: Succession, gateway: GatewayState | None, now: float) -> None:
        """Count from when every gateway replica has left the old application."""
        left = gateway is not None and {each.revision for each in gateway.replicas} == {found.active.revision}
        known = {name for key, name in self._due if key == portfolio}
        for name in known - found.draining.keys():
            del self._due[portfolio, name]
        for name, seconds in found.draining.items() if left else ():
            self._due.setdefault((portfolio, name), now + seconds)

    def seconds_until(self, portfolio: object, now: float) -> float | None:
        return min(
            (max(due - now, 0.0) for (key, _), due in self._due.items() if key == portfolio), default=None
        )

    def forget(self, portfolio: object) -> None:
        self._due = {key: due for key, due in self._due.items() if key[0] != portfolio}

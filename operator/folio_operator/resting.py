"""A pass that had nothing to do need not be repeated until something that it looked at is another.

Every poll of a gateway is a pass; rendering all of a portfolio to find it as it was costs a hundred times as
much as comparing the versions of its objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from folio_api.meta import Key
from folio_api.table import BudgetState, GatewayState
from folio_operator.children import gateway_secret, models_secret, ray_token_secret
from folio_operator.cluster import (
    CHILDREN,
    MODEL,
    OF_KUBERAY,
    POLICY,
    PORTFOLIO,
    SECRET,
    Body,
    Kind,
    stated,
    uid_of,
)
from folio_operator.credentials import Reader
from folio_operator.store import Store
from folio_operator.world import Portfolio

Subject = tuple[Kind, Key]
Versions = tuple[object, ...]


@dataclass(frozen=True)
class Looked:
    """What a pass over a portfolio reads."""

    portfolio: Key
    inputs: tuple[Subject, ...]
    """Objects that a watch shows."""
    own_secrets: tuple[Subject, ...]
    credentials: tuple[Subject, ...]
    """Secrets and ConfigMaps that the portfolio names. As our own, they are read by name."""

    @property
    def gateway_secret(self) -> Key:
        return self.own_secrets[0][1]

    def versions(self, store: Store, reader: Reader) -> Versions:
        """Return what changes whenever any of it does, the status of what people write aside: we write it."""
        found = (store.get(kind, key) for kind, key in self.inputs)
        inputs = [stated(body) if body is not None else None for body in found]
        children = map(_version, store.children(self.portfolio, (*CHILDREN, *OF_KUBERAY)))
        credentials = [
            _version(reader.known(kind, key)) for kind, key in (*self.own_secrets, *self.credentials)
        ]
        return (*inputs, *children, *credentials)


@dataclass(frozen=True)
class Rest:
    """The end of a pass that changed nothing."""

    looked: Looked
    versions: Versions
    status: Mapping[str, Any]
    """What the portfolio says; somebody else may write it."""
    gateway: GatewayState | None
    """What was telling of its answer."""
    until: float
    """When something is due by the clock, whether anything changed or not."""
    after: float | None
    """Seconds until the next poll."""


def looked(portfolio: Portfolio, credentials: tuple[Subject, ...]) -> Looked:
    key, spec = portfolio.key, portfolio.resource.spec
    models = ((MODEL, Key(key.namespace, entry.specialist)) for entry in spec.models)
    policy = (POLICY, Key(key.namespace, spec.policy_ref.name))
    own = (each(portfolio) for each in (gateway_secret, models_secret, ray_token_secret))
    secrets = tuple((SECRET, Key(key.namespace, name)) for name in own)
    return Looked(key, ((PORTFOLIO, key), policy, *models), secrets, credentials)


def telling(gateway: GatewayState | None) -> GatewayState | None:
    """Return what a gateway said, without what every query changes and nothing follows from: how much is used
    of a budget that is not spent, and how a revision fares that is on no trial.
    """
    if gateway is None:
        return None
    replicas = [
        each.model_copy(
            update={
                "budgets": tuple(map(_without_figure, each.budgets)),
                "trials": tuple(trial for trial in each.trials if trial.revision == each.candidate),
            }
        )
        for each in gateway.replicas
    ]
    return gateway.model_copy(update={"replicas": tuple(replicas)})


def _without_figure(budget: BudgetState) -> BudgetState:
    return budget.model_copy(update={"used": budget.limit if budget.is_spent else 0.0})


def _version(body: Body | None) -> tuple[str, str] | None:
    return (uid_of(body), str(body["metadata"].get("resourceVersion", ""))) if body is not None else None

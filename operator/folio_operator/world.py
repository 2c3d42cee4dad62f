"""The nouns of the control plane: what was asked for, gathered into one value, and what was seen to run.

Everything here is a value. Whoever gathers it (a cluster's indices, a folder of files) is below; whoever
decides is above.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from folio_api.meta import Key
from folio_api.model import SpecialistModel
from folio_api.policy import RoutingPolicy, Rung
from folio_api.pools import Pool, PortfolioModel
from folio_api.portfolio import ModelPortfolio
from folio_api.table import Engine, GatewayState
from folio_operator.allowed import EVERYTHING, Allowed

ApplicationState = Literal["NOT_STARTED", "DEPLOYING", "RUNNING", "DEPLOY_FAILED", "DELETING", "UNHEALTHY"]


@dataclass(frozen=True)
class Member:
    """A model as one portfolio serves it: the entry, and the resource that it names."""

    entry: PortfolioModel
    model: SpecialistModel

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def engine(self) -> Engine:
        return self.model.spec.engine


@dataclass(frozen=True)
class TenantKey:
    """One key that opens a gateway. Only its digest is known past the edge."""

    tenant: str
    digest: str
    fault: str = ""
    """What keeps it from being a key; empty for a good one."""


@dataclass(frozen=True)
class Portfolio:
    """A portfolio with all that it refers to, as far as it exists."""

    resource: ModelPortfolio
    policy: RoutingPolicy | None
    specialists: Mapping[str, SpecialistModel]
    """Every SpecialistModel of the namespace, by its own name."""
    secrets: Mapping[str, frozenset[str]] | None = None
    """Keys of every Secret that exists; None where nobody looked."""
    tenant_keys: tuple[TenantKey, ...] | None = None
    """The keys in the Secret of gateway.auth.apiKeys; None where nobody looked."""
    certificates: tuple[Certificate, ...] | None = None
    """What the policy's artifact promises; None where nobody could read it."""
    allowed: Allowed = EVERYTHING
    """What the installation lets it do."""

    @property
    def key(self) -> Key:
        return self.resource.key

    @property
    def members(self) -> tuple[Member, ...]:
        """Return the models that exist, in the order of their names: the order in the file means nothing."""
        found = ((entry, self.specialists.get(entry.specialist)) for entry in self.resource.spec.models)
        members = (Member(entry, model) for entry, model in found if model is not None)
        return tuple(sorted(members, key=lambda member: member.name))

    def member(self, name: str) -> Member | None:
        return next((member for member in self.members if member.name == name), None)

    def serving(self, specialist: str) -> Member | None:
        """Return the member that serves the SpecialistModel of this name, the first by name if several do."""
        return next((member for member in self.members if member.entry.specialist == specialist), None)

    def base(self, adapter: Member) -> Member | None:
        assert adapter.model.spec.adapter is not None
        return self.serving(adapter.model.spec.adapter.base_ref.name)

    def embedder(self, retriever: Member) -> Member | None:
        assert retriever.model.spec.retriever is not None
        return self.serving(retriever.model.spec.retriever.embedder_ref.name)

    def pool(self, member: Member) -> Pool | None:
        return self.resource.spec.pool(member.entry.pool) if member.entry.pool else None

    @property
    def ladders(self) -> tuple[Ladder, ...]:
        """Return every ladder of the policy, the default one last."""
        if self.policy is None:
            return ()
        spec = self.policy.spec
        named = (
            Ladder(f"intents[{intent.name}].ladder", intent.ladder, intent.name) for intent in spec.intents
        )
        return (*named, Ladder("defaultLadder", spec.default_ladder))


@dataclass(frozen=True)
class Ladder:
    """A ladder, and where it stands below the policy's spec."""

    path: str
    rungs: tuple[Rung, ...]
    intent: str = ""
    """Empty for the default ladder."""


@dataclass(frozen=True)
class Certificate:
    """What a calibration promises of one model's signal."""

    model: str
    """Identity of what answers."""
    intent: str
    signal: str
    max_error_rate: float
    confidence: float

    def covers(self, intent: str, signal: str, max_error_rate: float, confidence: float) -> bool:
        same = self.intent == intent and self.signal.partition("@")[0] == signal
        return same and self.max_error_rate <= max_error_rate and self.confidence >= confidence


@dataclass(frozen=True)
class Application:
    """What Ray Serve says of one application."""

    name: str
    state: ApplicationState
    message: str = ""
    replicas: int = 0
    """Replicas that run."""


class Blocked(Protocol):
    """What keeps pods from running: a word for scripts, and a sentence with the fix."""

    @property
    def reason(self) -> str: ...
    @property
    def message(self) -> str: ...


@dataclass(frozen=True)
class Observed:
    """What runs, as seen in one look; None for what could not be seen."""

    applications: Mapping[str, Application] = field(default_factory=dict)
    """Empty where KubeRay says nothing of any: without a head, or beside a second cluster that comes up."""
    gateway: GatewayState | None = None
    blocked: Mapping[str, Blocked] = field(default_factory=dict)
    """Why pods do not run, by their role: head, gateway, or a pool's name behind `pool-`."""
    last_failures: Mapping[str, str] = field(default_factory=dict)
    """By model: why it failed last, where it has not answered since."""
    coming: Mapping[str, Application] | None = None
    """What runs in a second cluster that comes up beside the one that serves; None where there is none."""


def gather(
    resource: ModelPortfolio,
    policies: Iterable[RoutingPolicy],
    models: Iterable[SpecialistModel],
    secrets: Mapping[str, frozenset[str]] | None = None,
) -> Portfolio:
    """Return the portfolio with everything of its namespace that it may refer to."""
    namespace = resource.key.namespace
    wanted = Key(namespace, resource.spec.policy_ref.name)
    return Portfolio(
        resource=resource,
        policy=next((policy for policy in policies if policy.key == wanted), None),
        specialists={model.key.name: model for model in models if model.key.namespace == namespace},
        secrets=secrets,
    )

"""How a portfolio changes: gates, canaries, new clusters; and the Ray that it runs on."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from folio_api.markers import Rule, list_map
from folio_api.meta import ObjectRef, Part, PodTemplate, SecretValue
from folio_api.pools import ResourceRequirements
from folio_api.types import Duration, Image, Share, Written
from folio_api.urls import PORT

HostPort = Annotated[
    str,
    Written(
        "an address HOST:PORT such as redis:6379",
        rf"^[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?:({PORT})$",
        260,
    ),
]
RayVersion = Annotated[str, Written('a version of Ray such as "2.60.0"', r"^[0-9]+\.[0-9]+\.[0-9]+$", 20)]


class AbortOn(Part):
    """What ends a canary early."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.maxErrorRate) || has(self.maxEscalationRate)",
            "abortOn may not be empty: write maxErrorRate or maxEscalationRate",
        ),
    )
    max_error_rate: Share | None = None
    """Share of requests that failed."""
    max_escalation_rate: Share | None = None
    """Share of requests that went past their first rung."""


class Canary(Part):
    """A part of the traffic that tries a revision first."""

    percent: Annotated[int, Field(ge=1, le=99)]
    """How much of the traffic."""
    duration_seconds: Duration = Field(alias="duration")
    """For how long."""
    abort_on: AbortOn | None = None
    """What ends it early, back to the active revision."""


class NewCluster(Part):
    """What to do when an edit needs another Ray cluster."""

    strategy: Literal["BlueGreen", "Recreate"] = "BlueGreen"
    """BlueGreen, the default: the second beside the first, with its own GPUs; Recreate: down meanwhile."""
    approved_plan: Annotated[str, Field(max_length=64)] | None = None
    """The edit waits until this equals status.plan.id."""


class Rollout(Part):
    """How a revision goes live."""

    gates: Annotated[tuple[ObjectRef, ...], Field(max_length=8), list_map()] = ()
    """PortfolioEvaluations that a revision must pass; a missing one holds it back."""
    canary: Canary | None = None
    """A part of the traffic first."""
    new_cluster: NewCluster = NewCluster()
    """What to do when an edit needs another Ray cluster. Omitted: BlueGreen, once approved."""
    revision_history_limit: Annotated[int, Field(ge=1, le=50)] = 5
    """How many old revisions are kept."""


class Head(Part):
    """The head of the Ray cluster."""

    resources: ResourceRequirements = ResourceRequirements()
    """What the head takes."""
    pod_template: PodTemplate = Field(default_factory=dict)
    """A partial PodTemplateSpec merged over Folio's."""


class Redis(Part):
    """Where the Ray head and the budgets keep their state, so that both survive a restart."""

    address: HostPort
    """HOST:PORT."""
    password: SecretValue | None = None
    """Password."""


class Ray(Part):
    """The Ray cluster below the portfolio."""

    version: RayVersion | None = None
    """Version of Ray in the image. Omitted: the one Folio was built with."""
    image: Image | None = None
    """Serving image. Omitted: the chart's."""
    head: Head = Head()
    """The head."""
    redis: Redis | None = None
    """Fault tolerance of the head."""

"""The capacity of a portfolio: which models it serves, how many of each, and on which hardware."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from folio_api.markers import SCALAR_SET, Rule, list_map
from folio_api.meta import ObjectRef, Part, PodTemplate
from folio_api.types import Delay, Duration, Image, Money, Name, ObjectName, Resources


class ResourceRequirements(Part):
    """Requests and limits, as of a container."""

    requests: Resources = Field(default_factory=dict)
    """What the scheduler reserves."""
    limits: Resources = Field(default_factory=dict)
    """What may be used at most."""


class Volume(Part):
    """A PersistentVolumeClaim that is mounted for models."""

    name: Name
    """Name in `volume://NAME/path`."""
    claim_name: ObjectName
    """Name of the claim; `folio up` reads a folder instead: --volume NAME=PATH."""
    purpose: Literal["Source", "Cache"]
    """Source holds files that `volume://` names; Cache keeps what was downloaded."""


Volumes = Annotated[tuple[Volume, ...], Field(max_length=16), list_map()]


class Scaling(Part):
    """How many replicas, and when there are more."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
            "minReplicas may not be above maxReplicas: lower it, or raise maxReplicas",
            field=".minReplicas",
        ),
    )
    min_replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Replicas that always run; 0 lets an idle model sleep."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Most replicas. Omitted: minReplicas, and at least 1."""
    target_ongoing_requests: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Requests at once per replica that the number of replicas aims at. Omitted: chosen by engine."""
    max_queued_requests: Annotated[int, Field(ge=1, le=100_000)] = 64
    """Requests that may wait; when the queue is full, the next rung is asked."""
    scale_down_delay_seconds: Delay = Field(default=600.0, alias="scaleDownDelay")
    """How long there must be too many replicas before one stops."""

    @property
    def ceiling(self) -> int:
        """Most replicas, whether written or not."""
        return self.max_replicas or max(1, self.min_replicas)


class UpdateStrategy(Part):
    """How a new version of a model takes over."""

    type: Literal["RollingUpdate", "Recreate", "BlueGreen"]
    """RollingUpdate replaces replicas, Recreate stops first and the next rung stands in, BlueGreen runs a
    second application beside the first."""
    max_surge_percent: Annotated[int, Field(ge=0, le=100)] = 100
    """RollingUpdate: how many replicas more than wanted may run meanwhile."""


class PortfolioModel(Part):
    """A model as the portfolio serves it."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.name != 'folio'",
            "a model may not be named folio: clients say it for the whole portfolio",
            field=".name",
        ),
    )
    name: Name
    """What ladders and clients say."""
    model_ref: ObjectRef | None = None
    """The SpecialistModel. Omitted: the one of that name."""
    pool: Name | None = None
    """Where its replicas run. Omitted: beside the gateway, for models without a GPU."""
    scaling: Scaling = Scaling()
    """How many replicas."""
    startup_timeout_seconds: Duration = Field(default=1200.0, alias="startupTimeout")
    """Longest time to download and load; then it is Failed. The next rung answers meanwhile."""
    drain_timeout_seconds: Delay = Field(default=120.0, alias="drainTimeout")
    """How long a stopping replica may finish what it began."""
    update_strategy: UpdateStrategy = UpdateStrategy(type="RollingUpdate")
    """How a new version takes over. Omitted: RollingUpdate."""
    clearances: Annotated[tuple[Name, ...], Field(max_length=16), SCALAR_SET] = ()
    """Data classes that it may see: granted here, never claimed by the model."""

    @property
    def specialist(self) -> str:
        """Name of the SpecialistModel."""
        return self.model_ref.name if self.model_ref else self.name


class Pool(Part):
    """Workers of one kind of machine."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.minWorkers) || self.minWorkers <= self.maxWorkers",
            "minWorkers may not be above maxWorkers: lower it, or raise maxWorkers",
            field=".minWorkers",
        ),
    )
    name: Name
    """What models[].pool says."""
    min_workers: Annotated[int, Field(ge=0, le=1000)] = 0
    """Workers that always run."""
    max_workers: Annotated[int, Field(ge=1, le=1000)]
    """Most workers."""
    resources: ResourceRequirements
    """What one worker takes; its GPUs are read from limits."""
    volumes: Volumes = ()
    """Claims mounted into every worker."""
    image: Image | None = None
    """Another build of the engine, with the same Ray and Python. Omitted: the portfolio's."""
    pod_template: PodTemplate = Field(default_factory=dict)
    """A partial PodTemplateSpec merged over Folio's: tolerations, priorityClassName, topology, env and the
    like."""
    price_per_hour: Money | None = None
    """USD for one worker an hour; the cost of its models is derived from it."""
    watts: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Power that one worker draws."""

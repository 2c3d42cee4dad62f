"""ModelPortfolio: which models and policy are served together, where, and within which guardrails."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from folio_api.door import Gateway
from folio_api.governance import Audit, Budget, Capture, DataClass
from folio_api.markers import ATOMIC, Rule, list_map
from folio_api.meta import Conditions, Labels, ObjectMeta, ObjectRef, Part, Resource
from folio_api.pools import Pool, PortfolioModel
from folio_api.portfolio_rules import PORTFOLIO_RULES
from folio_api.rollout import Ray, Rollout
from folio_api.types import Line, Name, Region

Reason = Annotated[str, Field(max_length=64)]
Message = Annotated[str, Field(max_length=4096)]
RevisionName = Annotated[str, Field(max_length=64)]
Time = Annotated[str, Field(max_length=64)]


class CommonMetadata(Part):
    """Metadata on every child object."""

    labels: Labels = Field(default_factory=dict)
    """Labels, for example kueue.x-k8s.io/queue-name."""
    annotations: Labels = Field(default_factory=dict)
    """Annotations."""


class ModelPortfolioSpec(Part):
    """What is served together."""

    rules: ClassVar[tuple[Rule, ...]] = PORTFOLIO_RULES
    policy_ref: ObjectRef
    """The RoutingPolicy."""
    models: Annotated[tuple[PortfolioModel, ...], Field(min_length=1, max_length=64), list_map()]
    """The models that ladders and clients can name; the order means nothing."""
    pools: Annotated[tuple[Pool, ...], Field(max_length=16), list_map()] = ()
    """Hardware. One that is appended changes nothing else; a removed one is drained."""
    max_gpus: Annotated[int, Field(ge=0, le=100_000)] | None = Field(default=None, alias="maxGPUs")
    """Most GPUs of the whole portfolio, surge and candidates included. Omitted: the sum over the pools."""
    region: Region | None = None
    """Where the pools are; data classes may ask for it."""
    data_classes: Annotated[tuple[DataClass, ...], Field(max_length=16), list_map()] = ()
    """Kinds of data that only cleared models may see, told by rules before anything learned."""
    budgets: Annotated[tuple[Budget, ...], Field(max_length=16), list_map()] = ()
    """What may be spent."""
    capture: Capture | None = None
    """A sample of traffic that is kept, to learn from."""
    audit: Audit | None = None
    """One line a request that cannot be changed unseen."""
    gateway: Gateway = Gateway()
    """The door."""
    rollout: Rollout = Rollout()
    """How a revision goes live."""
    ray: Ray = Ray()
    """The Ray cluster below."""
    common_metadata: CommonMetadata = CommonMetadata()
    """Labels and annotations on every child object."""
    suspend: bool = False
    """Leave everything as it is and reconcile nothing."""

    def pool(self, name: str) -> Pool | None:
        return next((pool for pool in self.pools if pool.name == name), None)


class RevisionInput(Part):
    """An object that a revision was made of."""

    kind: Annotated[str, Field(max_length=64)]
    """Its kind."""
    name: Annotated[str, Field(max_length=253)]
    """Its name."""
    generation: int
    """Its generation."""


class ActiveRevision(Part):
    """What every gateway replica confirmed."""

    revision: RevisionName
    """The revision."""
    since: Time | None = None
    """Since when."""
    inputs: Annotated[tuple[RevisionInput, ...], Field(max_length=256), ATOMIC] = ()
    """The objects it was made of."""


class CandidateRevision(Part):
    """A revision on its way."""

    revision: RevisionName
    """The revision."""
    phase: Literal["Deploying", "Evaluating", "Canary"]
    """How far it came."""
    percent: Annotated[int, Field(ge=0, le=100)] | None = None
    """Its share of the traffic."""
    reason: Reason | None = None
    """What it waits for, in one word."""
    message: Message | None = None
    """What it waits for, in a sentence."""


class RejectedRevision(Part):
    """A revision that is not tried again until an input changes."""

    revision: RevisionName
    """The revision."""
    reason: Reason
    """Why, in one word."""
    time: Time | None = None
    """When."""


class PlanStatus(Part):
    """What waits for approval: an edit, or what an upgrade of the operator brings."""

    id: RevisionName
    """What rollout.newCluster.approvedPlan must say."""
    effect: Annotated[str, Field(max_length=64)]
    """What it does, for example NewCluster."""
    extra_gpus: int | None = Field(default=None, alias="extraGPUs")
    """GPUs that it needs meanwhile."""
    message: Message | None = None
    """The same in a sentence."""


class GpuCount(Part):
    """GPUs of the portfolio."""

    requested: int
    """By its replicas and workers."""
    allocated: int
    """On machines that run."""


class ModelState(Part):
    """How one model fares."""

    name: Name
    """The portfolio's name for it."""
    state: Line
    """Pending, Downloading, Loading, Ready, Updating, Idle or Failed."""
    replicas: int | None = None
    """Replicas that answer."""
    reason: Reason | None = None
    """Why, in one word."""
    message: Message | None = None
    """Why, in a sentence that names the fix."""
    served_by: Line | None = None
    """The model that stands in meanwhile."""


class Measured(Part):
    """What the newest evaluation of the active revision found; numbers are decimal strings."""

    revision: RevisionName
    """The revision."""
    quality: Line | None = None
    """Share of answers that are right."""
    cost_per_query: Line | None = None
    """USD."""
    escalation_rate: Line | None = None
    """Share of queries that went past their first rung."""
    sample_size: int | None = None
    """Questions asked."""
    control_quality: Line | None = None
    """Quality of the control of equal cost."""


class ModelPortfolioStatus(Part):
    """What the operator found."""

    observed_generation: int | None = None
    """Generation of the spec that this speaks of."""
    url: Line | None = None
    """Where the portfolio answers."""
    active: ActiveRevision | None = None
    """What every gateway replica confirmed."""
    candidate: CandidateRevision | None = None
    """A revision on its way; absent when none is."""
    rejected: Annotated[tuple[RejectedRevision, ...], Field(max_length=5), ATOMIC] = ()
    """Revisions that are not tried again."""
    plan: PlanStatus | None = None
    """What waits for approval."""
    gpus: GpuCount | None = None
    """GPUs of the portfolio."""
    models_ready: Annotated[str, Field(max_length=16)] | None = None
    """Models that are Ready or Idle of all, as 3/4."""
    conditions: Conditions = ()
    """Accepted, Programmed, ModelsReady, GatewayReady, EvaluationPassed, BudgetAvailable, Exposed, Ready,
    Reconciling, Stalled."""
    models: Annotated[tuple[ModelState, ...], Field(max_length=64), list_map()] = ()
    """How each model fares."""
    measured: Measured | None = None
    """What the newest evaluation found."""


class ModelPortfolio(Resource):
    """Which models and policy are served together, on which hardware, behind which door, within which
    guardrails.
    """

    kind: Literal["ModelPortfolio"] = "ModelPortfolio"
    metadata: ObjectMeta
    spec: ModelPortfolioSpec
    """What is served together."""
    status: ModelPortfolioStatus | None = None
    """What the operator found."""

"""PortfolioEvaluation: what a portfolio is measured on, and what it must reach before an edit goes live."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from folio_api.markers import ATOMIC, Rule, rules
from folio_api.meta import Conditions, ConfigMapKeyRef, ObjectMeta, ObjectRef, Part, Resource, SecretRef
from folio_api.types import CronSchedule, Digest, Duration, Line, Money, ObjectName, Share, Written
from folio_api.urls import DatasetUri

RelativePath = Annotated[
    str, Written("a path inside the volume, without a leading /", r"^[^/\s][^\s]*$", 512)
]


class DatasetVolume(Part):
    """A file in a PersistentVolumeClaim."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!self.path.matches('(^|/)[.][.](/|$)')",
            "path may not contain ..: write the path without it",
            ".path",
        ),
    )
    claim_name: ObjectName
    """Name of the claim."""
    path: RelativePath
    """Path inside it."""


class DatasetUrl(Part):
    """A file behind a URL."""

    uri: DatasetUri
    """Where it is."""
    sha256: Digest
    """Its SHA-256, 64 digits; a file with another one fails the run."""
    secret_ref: SecretRef | None = None
    """Secret with the `AWS_*` keys."""


class Dataset(Part):
    """Questions with what a right answer is, one JSON object a line."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.configMapKeyRef), has(self.volume), has(self.url)].exists_one(present, present)",
            "write exactly one dataset: configMapKeyRef, volume or url",
        ),
    )
    config_map_key_ref: ConfigMapKeyRef | None = None
    """In a ConfigMap."""
    volume: DatasetVolume | None = None
    """In a volume."""
    url: DatasetUrl | None = None
    """Behind a URL."""


class Margin(Part):
    """How much worse is still as good."""

    margin: Share
    """Largest difference in quality."""


class Require(Part):
    """What a revision must reach."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.minQuality) || has(self.maxCostPerQuery) || has(self.maxP95Latency)"
            " || has(self.notWorseThanActive) || has(self.control)",
            "require may not be empty: write minQuality, maxCostPerQuery, maxP95Latency, notWorseThanActive"
            " or control",
        ),
    )
    min_quality: Share | None = None
    """Smallest share of right answers."""
    max_cost_per_query: Money | None = None
    """Most USD a query, on average."""
    max_p95_latency_seconds: Duration | None = Field(default=None, alias="maxP95Latency")
    """Longest time of 95 of 100 answers."""
    not_worse_than_active: Margin | None = None
    """Compared with the revision that serves now."""
    control: Literal["CostMatchedRandom"] | None = None
    """What it must beat: CostMatchedRandom mixes the models blindly at the same cost."""
    confidence: Share | None = None
    """How sure each of these must be. Omitted: "0.95"."""


class PortfolioEvaluationSpec(Part):
    """What is measured, when, and what must be reached."""

    portfolio_ref: Annotated[
        ObjectRef,
        rules(Rule("self == oldSelf", "portfolioRef cannot be changed: make another PortfolioEvaluation")),
    ]
    """The portfolio that is measured; cannot be changed."""
    dataset: Dataset
    """The questions."""
    schedule: CronSchedule | None = None
    """When the active revision is measured, in UTC. Omitted: once, and whenever it gates."""
    sample_size: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """How many questions are drawn. Omitted: all."""
    max_cost: Money | None = None
    """Most USD a run; above it the run fails, never passes."""
    timeout_seconds: Duration = Field(default=1800.0, alias="timeout")
    """Longest time of a run."""
    require: Require
    """What must be reached."""
    suspend: bool = False
    """Start no run."""


class Run(Part):
    """One run; numbers are decimal strings."""

    id: Line
    """Its name."""
    revision: Line
    """What was measured."""
    start_time: Line | None = None
    """When it began."""
    completion_time: Line | None = None
    """When it ended."""
    result: Line | None = None
    """Passed, Failed or Running."""
    reason: Line | None = None
    """Why, in one word."""
    quality: Line | None = None
    """Share of right answers."""
    interval: Line | None = None
    """Where the true quality is."""
    cost_per_query: Line | None = None
    """USD."""
    sample_size: int | None = None
    """Questions asked."""
    data_digest: Line | None = None
    """Digest of the questions."""
    control_quality: Line | None = None
    """Quality of the control of equal cost."""


class PortfolioEvaluationStatus(Part):
    """What the runs found."""

    observed_generation: int | None = None
    """Generation of the spec that this speaks of."""
    conditions: Conditions = ()
    """Passed, Reconciling, Stalled."""
    runs: Annotated[tuple[Run, ...], Field(max_length=10), ATOMIC] = ()
    """The last ten runs."""


class PortfolioEvaluation(Resource):
    """What a portfolio is measured on, and what it must reach before an edit goes live."""

    kind: Literal["PortfolioEvaluation"] = "PortfolioEvaluation"
    metadata: ObjectMeta
    spec: PortfolioEvaluationSpec
    """What is measured, when, and what must be reached."""
    status: PortfolioEvaluationStatus | None = None
    """What the runs found."""

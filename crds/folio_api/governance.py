"""The guardrails of a portfolio: data classes, budgets, what is captured, and what is audited."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from folio_api.detectors import Detector
from folio_api.markers import ATOMIC, SCALAR_SET, Rule
from folio_api.meta import Part, SecretRef
from folio_api.policy import HeaderMatch
from folio_api.types import Duration, Money, Name, Region, Share
from folio_api.urls import StoreUri


class DataClassMatch(Part):
    """What makes a request belong to a data class: any of these."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.detectors) && size(self.detectors) > 0) || (has(self.headers) && size(self.headers) >"
            " 0)",
            "matchAny may not be empty: write detectors or headers",
        ),
    )
    detectors: Annotated[tuple[Detector, ...], Field(max_length=16), SCALAR_SET] = ()
    """Patterns looked for in the request's text."""
    headers: Annotated[tuple[HeaderMatch, ...], Field(max_length=16), ATOMIC] = ()
    """Headers by which a client says so itself; they add a class and never remove one."""


class DataClass(Part):
    """A kind of data that only cleared models may see."""

    name: Name
    """What models[].clearances says."""
    match_any: DataClassMatch
    """What makes a request belong here: any of these."""
    regions: Annotated[tuple[Region, ...], Field(max_length=16), SCALAR_SET] = ()
    """Where it may be computed. Omitted: anywhere."""
    when_none_cleared: Literal["Refuse", "Redact"] = "Refuse"
    """What happens when no rung is cleared: Refuse answers 403; Redact removes what the detectors found."""


class BudgetLimit(Part):
    """How much, in one unit."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.usd), has(self.tokens), has(self.requests)].exists_one(present, present)",
            "a budget has exactly one unit: usd, tokens or requests",
        ),
    )
    usd: Money | None = None
    """US dollars."""
    tokens: Annotated[int, Field(ge=1, le=10**15)] | None = None
    """Tokens, in and out, of every rung."""
    requests: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """Requests."""


class Budget(Part):
    """What may be spent in a window of time."""

    name: Name
    """Name of the budget, in metrics and refusals."""
    scope: Literal["Portfolio", "Tenant", "Intent"]
    """Who shares it."""
    window_seconds: Duration = Field(alias="window")
    """The window, for example 24h."""
    limit: BudgetLimit
    """How much, in one unit."""
    on_exceeded: Literal["Cheapest", "Refuse"] = "Refuse"
    """What happens then: Cheapest asks only the cheapest rung; Refuse answers 402 or 429."""


class Store(Part):
    """Where records are written."""

    uri: StoreUri
    """`s3://`, `gs://`, `file:///`, or `volume://NAME/path` of the gateway's volumes."""
    secret_ref: SecretRef | None = None
    """Secret with the `AWS_*` keys."""


class Capture(Part):
    """A sample of traffic that is kept, to learn from."""

    sample: Share
    """Share of the requests."""
    store: Store
    """Where they are kept."""
    redaction: Literal["DataClasses"] = "DataClasses"
    """What is removed first: all that the detectors of the data classes find."""


class Audit(Part):
    """One hash-chained line a request: who, which data classes, which models saw it, what it cost."""

    store: Store
    """Where the lines are written."""
    bodies: Literal["Never"] = "Never"
    """Whether questions and answers are written too."""

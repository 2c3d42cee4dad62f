"""RoutingPolicy: who is asked first, what is good enough, who is next. No Secret, no endpoint, no
guardrail.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from folio_api.markers import ATOMIC, SCALAR_SET, Rule, list_map, none_of, rules
from folio_api.meta import Conditions, ObjectMeta, Part, Resource
from folio_api.table import Input, OnExhausted, SignalName
from folio_api.types import Digest, Duration, HeaderName, Line, Money, Name, Share
from folio_api.urls import SourceUri

Keyword = Annotated[str, Field(min_length=1, max_length=128)]
Example = Annotated[str, Field(min_length=1, max_length=512)]


class HeaderMatch(Part):
    """A header of the request, matched whole."""

    name: HeaderName
    """Name of the header; its case means nothing."""
    value: Line
    """The value it must have."""


class IntentMatch(Part):
    """What makes a request belong to an intent: any of these."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            """(has(self.headers) && size(self.headers) > 0)
            || (has(self.keywords) && size(self.keywords) > 0)
            || (has(self.inputs) && size(self.inputs) > 0)
            || (has(self.examples) && size(self.examples) > 0)""",
            "matchAny may not be empty: write headers, keywords, inputs or examples",
        ),
    )
    headers: Annotated[tuple[HeaderMatch, ...], Field(max_length=16), ATOMIC] = ()
    """Headers that decide at once."""
    keywords: Annotated[tuple[Keyword, ...], Field(max_length=64), SCALAR_SET] = ()
    """Texts in the question that decide at once."""
    inputs: Annotated[tuple[Input, ...], Field(max_length=3), SCALAR_SET] = ()
    """A request that carries one of these."""
    examples: Annotated[tuple[Example, ...], Field(max_length=64), ATOMIC] = ()
    """Questions of this intent, at most 64 of 512 characters; the classifier learns from them."""


class Target(Part):
    """A promised error rate; the artifact's calibration turns it into a threshold."""

    max_error_rate: Share
    """At most this share of the accepted answers is wrong."""
    confidence: Share | None = None
    """How sure that is. Omitted: "0.90"."""


class Accept(Part):
    """When an answer is good enough."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.signal in ['Always', 'JsonSchema'] || has(self.atLeast) != has(self.target)",
            "write exactly one of atLeast (compares the raw signal) and target (a calibrated error rate)",
        ),
        Rule(
            "!(self.signal in ['Always', 'JsonSchema']) || (!has(self.atLeast) && !has(self.target))",
            "signals Always and JsonSchema take neither atLeast nor target: remove it",
        ),
        Rule(
            "self.signal == 'Agreement' ? has(self.samples) != has(self.models)"
            " : !has(self.samples) && !has(self.models)",
            "signal Agreement, and no other, needs one of samples (how often this model is asked) and models"
            " (who is asked beside it)",
        ),
    )
    signal: SignalName
    """MeanLogprob = exp(mean) and MinLogprob = exp(min) of the tokens' logprobs, Score of an encoder or
    retriever, Agreement among samples or models, JsonSchema of the request's response_format, or Always."""
    at_least: Share | None = None
    """Smallest raw signal that is accepted; every signal is in 0..1."""
    target: Target | None = None
    """A promised error rate instead; needs spec.artifact."""
    samples: Annotated[int, Field(ge=2, le=16)] | None = None
    """Agreement: how often this model is asked."""
    models: Annotated[tuple[Name, ...], Field(min_length=1, max_length=8), SCALAR_SET] | None = None
    """Agreement: the portfolio's models whose answers are compared."""


class Context(Part):
    """What a larger model is shown of the smaller ones' work; only what its clearances allow."""

    drafts: Annotated[int, Field(ge=0, le=8)] = 0
    """How many answers that were not accepted."""
    passages: Annotated[int, Field(ge=0, le=32)] = 0
    """How many passages that a retriever found."""


class Rung(Part):
    """One model of a ladder, and when its answer is good enough."""

    model: Name
    """Name of an entry in the portfolio's models."""
    accept: Accept | None = None
    """When its answer is taken. Only the last rung may omit it: Always."""
    timeout_seconds: Duration | None = Field(default=None, alias="timeout")
    """Longest time for this rung; at most limits.deadline."""
    context: Context = Context()
    """What this model is shown; nothing unless written."""


Ladder = Annotated[
    tuple[Rung, ...],
    Field(min_length=1, max_length=8),
    ATOMIC,
    rules(
        none_of(
            "self.filter(rung, !self.exists_one(other, other.model == rung.model))",
            "a model may stand in a ladder once: remove its second rung",
            field="model",
            key="model",
        ),
        none_of(
            "self.filter(rung, !has(rung.accept) && rung.model != self[size(self) - 1].model)",
            "every rung but the last needs accept: without it the rungs below are never asked",
            field="accept",
            key="model",
        ),
    ),
]


class Conversion(Part):
    """A model whose output feeds the ladder as text."""

    model: Name
    """Name of an entry in the portfolio's models."""
    as_: Literal["Transcript", "Passages"] = Field(alias="as")
    """What its output is."""


class Orchestrate(Part):
    """Models that the ladder's rungs may call as tools."""

    models: Annotated[tuple[Name, ...], Field(min_length=1, max_length=16), SCALAR_SET]
    """Names of entries in the portfolio's models."""
    max_calls: Annotated[int, Field(ge=1, le=64)]
    """How many calls one request may make."""


class Intent(Part):
    """A kind of question, and the ladder that answers it."""

    name: Name
    """Name of the intent; clients may ask for it as folio/NAME."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Decides between two intents that a rule matched, the larger first; then the name."""
    match_any: IntentMatch
    """What makes a request belong here: any of these."""
    ladder: Ladder
    """The models, asked in order."""
    on_exhausted: OnExhausted | None = None
    """Overrides spec.onExhausted."""
    interchangeable: bool = False
    """Embedding, Rerank, Transcription: whether another rung may answer when the first is down. Vectors of
    two models must not meet in one index."""
    before: Annotated[tuple[Conversion, ...], Field(max_length=4), ATOMIC] = ()
    """Conversions whose output feeds the ladder as text."""
    orchestrate: Orchestrate | None = None
    """Models that the rungs may call as tools, depth 1."""


class Classifier(Part):
    """Who decides the intent where no rule did."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(self.type == 'Model') == has(self.model)",
            "classifier.model goes with type: Model, and with no other type: add or remove it",
            field=".model",
        ),
    )
    type: Literal["NGram", "MiniLM", "Model"]
    """NGram looks up character and word n-grams, MiniLM compares sentence vectors, Model asks a model."""
    model: Name | None = None
    """Type Model: name of an entry in the portfolio's models."""


class Artifact(Part):
    """Learned weights, calibration and thresholds in one file."""

    uri: SourceUri
    """Where the file is."""
    sha256: Digest
    """Its SHA-256, 64 digits; a file with another one is not read."""


class Streaming(Part):
    """How answers stream."""

    commit_after_tokens: Annotated[int, Field(ge=1, le=4096)] = 32
    """A rung that may be refused streams after this many tokens were good enough."""
    heartbeat_after_seconds: Duration = Field(default=5.0, alias="heartbeatAfter")
    """When a silent stream begins to send comments, so that nothing between closes it."""


class Limits(Part):
    """What one query may take, over all its rungs."""

    deadline_seconds: Duration = Field(default=60.0, alias="deadline")
    """Longest time for the whole ladder."""
    max_cost_per_query: Money | None = None
    """Most USD for the whole ladder; checked again at every rung."""


class RoutingPolicySpec(Part):
    """Intents, ladders, and what is good enough."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            """has(self.artifact)
            || !(self.defaultLadder.exists(rung, has(rung.accept) && has(rung.accept.target))
                || (has(self.intents) && self.intents.exists(intent, intent.ladder.exists(rung,
                    has(rung.accept) && has(rung.accept.target)))))""",
            "accept.target needs spec.artifact, which holds the calibration: add it, or write atLeast",
            field=".artifact",
        ),
        Rule(
            """!has(self.limits) || !has(self.limits.deadline)
            || (self.defaultLadder.all(rung, !has(rung.timeout)
                    || duration(rung.timeout) <= duration(self.limits.deadline))
                && (!has(self.intents) || self.intents.all(intent, intent.ladder.all(rung, !has(rung.timeout)
                    || duration(rung.timeout) <= duration(self.limits.deadline)))))""",
            "a rung's timeout may not be longer than limits.deadline: shorten it, or raise the deadline",
            field=".limits.deadline",
        ),
    )
    intents: Annotated[tuple[Intent, ...], Field(max_length=64), list_map()] = ()
    """Kinds of questions with a ladder of their own."""
    default_ladder: Ladder
    """Answers what belongs to no intent."""
    classifier: Classifier = Classifier(type="NGram")
    """Decides the intent where no header or keyword did. Omitted: NGram."""
    artifact: Artifact | None = None
    """Learned weights, calibration, thresholds."""
    uncalibrated: Literal["Escalate", "Accept"] = "Escalate"
    """What a target does for a way of decoding that it was not calibrated for."""
    streaming: Streaming = Streaming()
    """How answers stream."""
    limits: Limits = Limits()
    """What one query may take."""
    on_exhausted: OnExhausted = "ReturnBest"
    """What is returned when no rung was good enough, and at the deadline, the cost limit and the last
    failure."""


class PolicyInPortfolio(Part):
    """How the policy fares in one portfolio."""

    name: Name
    """Name of the portfolio."""
    revision: Annotated[str, Field(max_length=64)] | None = None
    """The revision that its gateways serve."""
    conditions: Conditions = ()
    """Accepted, Programmed."""


class RoutingPolicyStatus(Part):
    """What the operator found, over all portfolios of the policy."""

    observed_generation: int | None = None
    """Generation of the spec that this speaks of."""
    conditions: Conditions = ()
    """Accepted, Programmed, Reconciling, Stalled."""
    portfolios: Annotated[tuple[PolicyInPortfolio, ...], Field(max_length=256), list_map()] = ()
    """The portfolios that run on it."""


class RoutingPolicy(Resource):
    """Who is asked first, what is good enough, who is next."""

    kind: Literal["RoutingPolicy"] = "RoutingPolicy"
    metadata: ObjectMeta
    spec: RoutingPolicySpec
    """Intents, ladders, and what is good enough."""
    status: RoutingPolicyStatus | None = None
    """What the operator found."""

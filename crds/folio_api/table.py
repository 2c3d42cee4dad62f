"""The routing table: everything that a gateway replica runs on, shared by the two planes.

The control plane renders it, Ray Serve carries it as the gateway's `user_config`, every replica compiles it
anew on an edit. It holds no secret (a key is named by its file) and nothing of Kubernetes. Times are seconds,
money is USD.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Task = Literal["Chat", "Completion", "Embedding", "Rerank", "Classification", "Transcription"]
Input = Literal["Text", "Image", "Audio"]
Feature = Literal["Tools", "Logprobs", "JSONSchema"]
Engine = Literal["vllm", "adapter", "encoder", "retriever", "external"]
SignalName = Literal["MeanLogprob", "MinLogprob", "Score", "Agreement", "JsonSchema", "Always"]
OnExhausted = Literal["ReturnBest", "Refuse"]
BudgetUnit = Literal["usd", "tokens", "requests"]


class Frozen(BaseModel):
    """A value: unknown fields are errors, nothing changes after it was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Price(Frozen):
    """What a model's work costs. Tokens are priced for external models, replica time for our own."""

    usd_per_million_input_tokens: float = 0.0
    usd_per_million_output_tokens: float = 0.0
    usd_per_replica_second: float = 0.0
    watts_per_replica: float = 0.0
    device: Literal["cpu", "gpu", "none"] = "none"
    """What a replica-second occupies; `none` for external models."""
    devices_per_replica: float = 0.0
    """CPUs or GPUs that one replica holds: device-seconds = busy seconds x this."""


class External(Frozen):
    """Where an OpenAI-compatible model outside the cluster answers."""

    base_url: str
    """Ends in /v1 or the like; paths such as /chat/completions are appended."""
    model: str
    """The name that the provider knows."""
    api_key_file: str | None = None
    """File name below the secrets directory; re-read when it changes. None: no Authorization header."""
    ca_file: str | None = None
    canary: Literal["Listing", "Paid"] = "Listing"
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class Model(Frozen):
    """One model that ladders and clients can name."""

    name: str
    engine: Engine
    application: str | None = None
    """Serve application whose replicas answer for it: its own or its base's; None for external models."""
    deployment: str = "Model"
    tasks: tuple[Task, ...] = ("Chat", "Completion")
    inputs: tuple[Input, ...] = ("Text",)
    features: tuple[Feature, ...] = ()
    context_tokens: int | None = None
    clearances: tuple[str, ...] = ()
    region: str | None = None
    price: Price = Price()
    identity: str
    """Digest of what answers under this name (source, adapter, engine arguments): the key of calibrations."""
    external: External | None = None
    max_ongoing_requests: int = 32
    """Per replica; the gateway never has more in flight at one replica."""
    max_queued_requests: int = 64
    """Waiting in one gateway replica for this model; past it the rung hands on with reason QueueFull."""
    scales_to_zero: bool = False


class Target(Frozen):
    """A promised error rate, turned into a threshold by the calibration artifact."""

    max_error_rate: float
    confidence: float = 0.90


class Accept(Frozen):
    """When an answer is good enough."""

    signal: SignalName
    at_least: float | None = None
    target: Target | None = None
    samples: int | None = None
    """Agreement: how often this model is asked."""
    models: tuple[str, ...] = ()
    """Agreement: the models whose answers are compared with this one's."""


class Context(Frozen):
    """What a larger rung is shown of the smaller ones' work."""

    drafts: int = 0
    passages: int = 0


class Rung(Frozen):
    model: str
    accept: Accept = Accept(signal="Always")
    timeout_seconds: float | None = None
    context: Context = Context()


class HeaderMatch(Frozen):
    name: str
    """Lower case."""
    value: str


class Intent(Frozen):
    name: str
    priority: int = 0
    headers: tuple[HeaderMatch, ...] = ()
    keywords: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    examples: tuple[str, ...] = ()
    ladder: tuple[Rung, ...]
    on_exhausted: OnExhausted
    interchangeable: bool = False


class Classifier(Frozen):
    type: Literal["NGram", "MiniLM", "Model"] = "NGram"
    model: str | None = None
    """Type Model: the model that classifies. Type MiniLM: the embedder among the portfolio's models."""
    embedder_uri: str | None = None
    """Type MiniLM without an embedder in the portfolio: where the gateway finds the ONNX export."""


class DataClass(Frozen):
    name: str
    detectors: tuple[str, ...] = ()
    headers: tuple[HeaderMatch, ...] = ()
    regions: tuple[str, ...] = ()
    when_none_cleared: Literal["Refuse", "Redact"] = "Refuse"


class Artifact(Frozen):
    """Learned weights, calibration and thresholds, by URI and digest."""

    uri: str
    sha256: str


class Streaming(Frozen):
    commit_after_tokens: int = 32
    heartbeat_after_seconds: float = 5.0


class Limits(Frozen):
    deadline_seconds: float = 60.0
    max_cost_per_query_usd: float | None = None


class Jwt(Frozen):
    """Tokens of an identity provider that open the gateway."""

    issuer: str
    audiences: tuple[str, ...]
    jwks_uri: str
    tenant_claim: str = "sub"


class Auth(Frozen):
    """Who may ask: whoever sends a tenant's key, or a token of the identity provider."""

    api_keys: bool = False
    """Whether the tenants' files below the secrets directory hold keys that open."""
    jwt: Jwt | None = None


class Budget(Frozen):
    """What may be spent in a window of time."""

    name: str
    scope: Literal["Portfolio", "Tenant", "Intent"]
    unit: BudgetUnit
    limit: float
    window_seconds: float
    on_exceeded: Literal["Cheapest", "Refuse"] = "Refuse"


class Table(Frozen):
    """A compiled portfolio. Two tables are the same exactly when their revisions are."""

    portfolio: str
    namespace: str = "default"
    revision: str = ""
    """First 12 hex digits of the digest of everything else; `with_revision` fills it."""
    region: str | None = None
    models: tuple[Model, ...]
    intents: tuple[Intent, ...] = ()
    default_ladder: tuple[Rung, ...]
    on_exhausted: OnExhausted = "ReturnBest"
    uncalibrated: Literal["Escalate", "Accept"] = "Escalate"
    classifier: Classifier = Classifier()
    data_classes: tuple[DataClass, ...] = ()
    artifact: Artifact | None = None
    streaming: Streaming = Streaming()
    limits: Limits = Limits()
    auth: Auth | None = None
    """None: whoever reaches the gateway may ask."""
    budgets: tuple[Budget, ...] = ()

    def with_revision(self) -> Table:
        """Return the table under the revision that its content demands."""
        return self.model_copy(update={"revision": self.digest()})

    def digest(self) -> str:
        content = self.model_dump(mode="json", exclude={"revision"}, exclude_defaults=True)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


class GatewayConfig(Frozen):
    """The gateway deployment's `user_config`: both tables, so that a candidate needs no second gateway."""

    active: Table
    candidate: Table | None = None
    canary_percent: int = 0
    """How much of the traffic the candidate answers; of 0, only what asks for it by name."""


OLD_REPLICAS = "OldReplicas"
"""Reason of a model that is Updating and answers: by replicas of before the update, until a new one does."""

WAKING = "Waking"
"""Reason of a model that slept, was asked, and has no replica yet."""


class ModelState(Frozen):
    """What a gateway replica knows of one model."""

    name: str
    state: Literal["Pending", "Downloading", "Loading", "Ready", "Updating", "Failed", "Idle"]
    replicas: int = 0
    reason: str = ""
    message: str = ""
    served_by: str = ""
    """The rung that stands in while this one is not ready."""


class BudgetState(Frozen):
    """What a gateway replica knows of a budget that the whole portfolio shares."""

    name: str
    unit: BudgetUnit
    used: float
    """By all replicas, in this window."""
    limit: float
    counted: bool
    """Whether the counter answers."""

    @property
    def is_spent(self) -> bool:
        return self.used >= self.limit


class Trial(Frozen):
    """How one revision fares at a gateway replica, since that holds it."""

    revision: str
    requests: int = 0
    """Answered, or failed; not what was refused, left, or asked for by name."""
    errors: int = 0
    """Of these, with a status from 500 on, told by a status or in a stream, or by a stream that broke."""
    escalations: int = 0
    """For which more than the first rung was asked."""


class ReplicaState(Frozen):
    """One gateway replica's answer to `GET /internal/state?replica`."""

    replica: str
    revision: str
    candidate: str | None = None
    candidate_models: tuple[ModelState, ...] = ()
    """The models as the candidate table names them: whether they answer, before anybody asks."""
    rejected: str | None = None
    """Why a table was not taken; the last good one keeps serving."""
    rejected_revision: str | None = None
    """Which one, where it was one of ours."""
    models: tuple[ModelState, ...] = ()
    budgets: tuple[BudgetState, ...] = ()
    waiting_seconds: Mapping[str, float] = Field(default_factory=dict)
    """For how long each model that does not answer has not, under either table."""
    trials: tuple[Trial, ...] = ()


class GatewayState(Frozen):
    """`GET /internal/state`: every replica's revision, and the models as the answering one sees them."""

    replicas: tuple[ReplicaState, ...] = Field(min_length=1)
    models: tuple[ModelState, ...] = ()

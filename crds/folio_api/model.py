"""SpecialistModel: what can answer. Never where it runs, nor how many of it."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from folio_api.markers import FREE_FORM, SCALAR_SET, Extension, Rule, rules
from folio_api.meta import (
    ConfigMapValue,
    ObjectMeta,
    ObjectRef,
    Part,
    Resource,
    SecretRef,
    SecretValue,
)
from folio_api.model_status import SpecialistModelStatus
from folio_api.table import Engine, Feature, Input, Task
from folio_api.types import Line, Money, Quantity, Region, Share, SqlIdentifier
from folio_api.urls import HttpUrl, SourceUri

RESERVED_ENGINE_ARGS = Extension(
    (
        (
            "properties",
            {
                "model": {"type": "string", "maxLength": 512},
                "served_model_name": {"type": "string", "maxLength": 512},
                "tensor_parallel_size": {"x-kubernetes-int-or-string": True},
            },
        ),
    )
)
NO_RESERVED_ENGINE_ARG = rules(
    Rule("!has(self.model)", "engineArgs may not set model: write source.uri", ".model"),
    Rule(
        "!has(self.served_model_name)",
        "engineArgs may not set served_model_name: the portfolio names its models",
        ".served_model_name",
    ),
    Rule(
        "!has(self.tensor_parallel_size)",
        "engineArgs may not set tensor_parallel_size: write gpus",
        ".tensor_parallel_size",
    ),
)


class Source(Part):
    """Where files come from."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!self.uri.startsWith('hf://') || (has(self.revision) &&"
            " self.revision.matches('^[0-9a-f]{40}$'))",
            "hf:// needs revision: the whole 40-digit commit, so that the same files are served tomorrow",
            field=".revision",
        ),
        Rule(
            "!self.uri.matches('/[.][.](/|$)')", "uri may not contain /../: write the path without it", ".uri"
        ),
    )
    uri: SourceUri
    """`hf://OWNER/NAME`, `s3://`, `gs://`, `file:///PATH`, or `volume://NAME/PATH`: a path in a volume of the
    pool."""
    revision: Line | None = None
    """Which version; `hf://` wants the whole 40-digit commit."""
    secret_ref: SecretRef | None = None
    """Secret with `HF_TOKEN`, or the `AWS_*` keys."""


class ComputeResources(Part):
    """What one replica takes of a machine."""

    cpu: Quantity | None = None
    """CPU cores, for example "4" or 500m."""
    memory: Quantity | None = None
    """Memory, for example 16Gi."""


class LoRASlots(Part):
    """Room for adapters, so that one that comes or goes never restarts its base."""

    max_adapters: Annotated[int, Field(ge=1, le=256)]
    """How many adapters a replica holds at once."""
    max_rank: Annotated[int, Field(ge=1, le=512)]
    """The largest rank among them."""


class VLLM(Part):
    """A model that vLLM serves."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.gpuFraction) || (has(self.gpus) && self.gpus == 1)",
            "gpuFraction needs gpus: 1: a replica shares one GPU",
            field=".gpuFraction",
        ),
        Rule(
            "!has(self.gpuFraction) || double(self.gpuFraction) > 0.0",
            'gpuFraction must be more than 0: write the part of a GPU, such as "0.5", or gpus: 0 for the CPU',
            field=".gpuFraction",
        ),
    )
    source: Source
    """The model's files."""
    engine_args: Annotated[
        Mapping[str, Any], Field(max_length=64), FREE_FORM, RESERVED_ENGINE_ARGS, NO_RESERVED_ENGINE_ARG
    ] = Field(default_factory=dict)
    """Arguments of vLLM's engine by their Python names. An unknown one fails this model only, by name."""
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """GPUs per replica (tensor parallel); 0 runs on the CPU."""
    gpu_fraction: Share | None = None
    """The part of one GPU that a replica takes; needs `gpus: 1`."""
    resources: ComputeResources = ComputeResources()
    """CPU and memory per replica."""
    lora: LoRASlots | None = None
    """Slots for adapters; without them no `adapter` may name this model as its base."""


class Adapter(Part):
    """A LoRA adapter on a model that vLLM serves."""

    base_ref: ObjectRef
    """The SpecialistModel it adapts; it must have `lora` slots and be in the portfolio too."""
    source: Source
    """The adapter's files."""
    rank: Annotated[int, Field(ge=1, le=512)] | None = None
    """Its rank, if the files do not say; at most the base's `maxRank`."""


class Encoder(Part):
    """A small head without vLLM: microseconds to milliseconds on a CPU."""

    type: Literal["NGram", "MiniLM", "ONNX"]
    """What the text goes through before the head."""
    source: Source | None = None
    """Head weights and labels; omitted for a plain embedder."""


class Postgres(Part):
    """Passages in a Postgres table."""

    dsn: SecretValue
    """Connection string."""
    table: SqlIdentifier
    """Table of the passages: TABLE or SCHEMA.TABLE."""


class LanceDB(Part):
    """Passages in a LanceDB directory, as `folio index` makes it."""

    uri: SourceUri
    """Where the directory is."""
    secret_ref: SecretRef | None = None
    """Secret with the `AWS_*` keys."""


class Retriever(Part):
    """Answers from documents, without any LLM."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.postgres) != has(self.lancedb)",
            "write exactly one of postgres, lancedb: where the passages are",
        ),
    )
    postgres: Postgres | None = None
    """Passages in Postgres; or `lancedb`."""
    lancedb: LanceDB | None = None
    """Passages in LanceDB; or `postgres`."""
    embedder_ref: ObjectRef
    """A SpecialistModel with the Embedding task, the one that the passages were indexed with."""
    top_k: Annotated[int, Field(ge=1, le=100)] = 4
    """How many passages are looked at."""
    answer: Literal["Extractive"] = "Extractive"
    """How passages become an answer: Extractive quotes them, with their sources."""


class RateLimit(Part):
    """What the provider allows; above it the rung hands on."""

    requests_per_minute: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Requests a minute."""
    tokens_per_minute: Annotated[int, Field(ge=1, le=10_000_000_000)] | None = None
    """Tokens a minute, in and out."""


class External(Part):
    """A model that somebody else serves behind an OpenAI-compatible URL; another portfolio's is allowed."""

    protocol: Literal["OpenAI"] = "OpenAI"
    """What the URL speaks."""
    base_url: HttpUrl = Field(alias="baseURL")
    """URL up to and with /v1."""
    model: Line
    """Name of the model at the provider."""
    api_key: SecretValue | None = None
    """The key, sent as a bearer token."""
    region: Region | None = None
    """Where the provider computes; data classes may ask for it."""
    canary: Literal["Listing", "Paid"] = "Listing"
    """How readiness is proven: Listing asks GET /models, Paid asks for one token."""
    rate_limit: RateLimit = RateLimit()
    """What the provider allows."""
    ca_bundle: ConfigMapValue | None = None
    """Certificates to trust beside the system's, in PEM."""


class TokenPrices(Part):
    """USD for a million tokens."""

    input: Money
    """A million tokens of the question."""
    output: Money
    """A million tokens of the answer."""


class Cost(Part):
    """What the model costs."""

    per_million_tokens: TokenPrices
    """USD for a million tokens."""


class SpecialistModelSpec(Part):
    """What can answer: exactly one engine, and what it can do."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.vllm), has(self.adapter), has(self.encoder), has(self.retriever), has(self.external)]"
            ".exists_one(present, present)",
            "write exactly one engine: vllm, adapter, encoder, retriever or external",
        ),
        Rule(
            "!has(self.external) || has(self.cost)",
            'external needs cost: write cost.perMillionTokens.input and .output in USD ("0" where it is'
            " free)",
            field=".cost",
        ),
    )
    vllm: VLLM | None = None
    """A model that vLLM serves."""
    adapter: Adapter | None = None
    """A LoRA adapter on one."""
    encoder: Encoder | None = None
    """A small classifier or embedder."""
    retriever: Retriever | None = None
    """A knowledge base."""
    external: External | None = None
    """A hosted model."""
    tasks: Annotated[tuple[Task, ...], Field(min_length=1, max_length=6), SCALAR_SET] | None = None
    """What it may be asked. Omitted: Chat and Completion for vllm and external, the base's for an adapter,
    Chat for a retriever, Classification for an encoder with a source and Embedding for one without."""
    inputs: Annotated[tuple[Input, ...], Field(min_length=1, max_length=3), SCALAR_SET] = ("Text",)
    """What a request may carry. Omitted: Text."""
    features: Annotated[tuple[Feature, ...], Field(max_length=3), SCALAR_SET] = ()
    """What its API can do; a signal made of logprobs needs Logprobs."""
    context_tokens: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Longest request with its answer; longer ones skip this rung. Omitted: the engine's own, or no limit."""
    cost: Cost | None = None
    """Price of its work; required for external, derived from the pool's price otherwise."""

    @property
    def engine(self) -> Engine:
        """Which of the five it is."""
        engines: tuple[Engine, ...] = ("vllm", "adapter", "encoder", "retriever", "external")
        return next(engine for engine in engines if getattr(self, engine) is not None)


class SpecialistModel(Resource):
    """What can answer: a vLLM model, a LoRA adapter of one, a small encoder, a knowledge base, or a hosted
    model.
    """

    kind: Literal["SpecialistModel"] = "SpecialistModel"
    metadata: ObjectMeta
    spec: SpecialistModelSpec
    """What can answer: exactly one engine, and what it can do."""
    status: SpecialistModelStatus | None = None
    """What the operator found."""

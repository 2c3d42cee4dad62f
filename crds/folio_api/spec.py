"""What one model application is built from: rendered by the control plane, run on by the data plane.

`ModelSpec` is a model's identity: any change of it restarts its replicas. `ModelConfig` is applied in place.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from folio_api.table import Feature, Frozen, Task

INTERNAL_TOKEN_FILE = "internal-token"  # noqa: S105 - the name of a file
"""File below the secrets directory whose content every request to a model application carries."""
TENANT_FILES = "_tenant."
GATEWAY_DEPLOYMENT = "Gateway"
MODEL_DEPLOYMENT = "Model"
"""An application has one deployment. The Serve configuration overrides it by this name."""
POOL_MARKER = "pool-"
"""Begins the name of the Ray resource that tells a pool's workers apart; one machine has no such thing."""


def secret_file(secret: str, key: str) -> str:
    """Return the file below the secrets directory that holds one key of a Secret."""
    return f"{secret}.{key}"


def tenant_file(tenant: str) -> str:
    """Return the file below the secrets directory that holds a tenant's keys.

    No Secret's name begins with an underscore, so no other secret can pass for a tenant's key.
    """
    return f"{TENANT_FILES}{tenant}"


def keys_in(text: str) -> tuple[str, ...]:
    """Return the keys of one tenant: one a line, so that an old and a new one are both good for a while."""
    return tuple(key for line in text.splitlines() if (key := line.strip()))


class Source(Frozen):
    uri: str
    revision: str | None = None


class LoRASlots(Frozen):
    max_adapters: int
    max_rank: int


class EncoderSpec(Frozen):
    type: Literal["NGram", "MiniLM", "ONNX"]


class RetrieverSpec(Frozen):
    lancedb_uri: str
    embedder_application: str
    """Serve application whose `Model.embed` turns a query into the vector that the index was built with."""
    top_k: int = 4
    answer: Literal["Extractive"] = "Extractive"


class ModelSpec(Frozen):
    """The `args` of a model application."""

    name: str
    engine: Literal["vllm", "encoder", "retriever"]
    identity: str
    source: Source | None = None
    tasks: tuple[Task, ...] = ("Chat", "Completion")
    features: tuple[Feature, ...] = ()
    context_tokens: int | None = None
    engine_args: dict[str, Any] = Field(default_factory=dict)
    gpus: int = 0
    gpu_fraction: float | None = None
    cpus: float = 1.0
    lora: LoRASlots | None = None
    encoder: EncoderSpec | None = None
    retriever: RetrieverSpec | None = None
    nonce: str = ""
    """Changed to make Serve retry an application that it gave up on (DEPLOY_FAILED is sticky)."""


class Adapter(Frozen):
    name: str
    source: Source
    rank: int
    identity: str


class ModelConfig(Frozen):
    """The `user_config` of a model application's deployment: adapters come and go without a restart."""

    adapters: tuple[Adapter, ...] = ()

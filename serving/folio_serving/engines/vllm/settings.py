"""A model's spec in the words of ray.serve.llm: pure, so that every case is seen without an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from folio_api.spec import ModelSpec
from folio_serving.sources import HubModel, hub_model, is_local, local_path

_CPU_KV_CACHE_BYTES = 256 * 1024**2
_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""vLLM takes no other maxima."""
_USABLE_SHARE_OF_GPU = 0.9


@dataclass(frozen=True)
class Settings:
    """What a replica starts its engine with."""

    llm_config: dict[str, Any]
    environment: dict[str, str]
    """Set in the replica's process before anything of the engine is imported; its children inherit it."""
    reasoning: bool
    """The model thinks before it answers: vLLM was given a reasoning parser."""
    hub: HubModel | None
    """Where the files are fetched from; None: they are here."""


def settings(spec: ModelSpec) -> Settings:
    """Return the engine's settings. A source that is not here raises SourceError."""
    if spec.source is None:
        raise ValueError(f"model {spec.name}: a vllm model needs a source")
    local = is_local(spec.source.uri)
    hub = None if local else hub_model(spec.source)
    arguments = engine_arguments(spec)
    if hub and hub.revision:
        arguments = {"revision": hub.revision, "tokenizer_revision": hub.revision, **arguments}
    llm_config: dict[str, Any] = {
        "model_loading_config": {
            "model_id": spec.name,
            "model_source": hub.repository if hub else str(local_path(spec.source.uri)),
        },
        "engine_kwargs": arguments,
        "accelerator_config": {"kind": "gpu" if spec.gpus else "cpu"},
        "log_engine_metrics": False,  # vLLM's own registry stays readable at the replica's /metrics
    }
    if spec.gpus:
        llm_config["placement_group_config"] = {"bundle_per_worker": {"GPU": spec.gpu_fraction or 1}}
    return Settings(
        llm_config=llm_config,
        environment=environment(on_cpu=not spec.gpus, local=local),
        reasoning=bool(arguments.get("reasoning_parser")),
        hub=hub,
    )


def engine_arguments(spec: ModelSpec) -> dict[str, Any]:
    """Return vLLM's arguments: ours where the resource has a field, the user's, then defaults."""
    ours: dict[str, Any] = {}
    if spec.lora:
        ours |= {
            "enable_lora": True,
            "max_loras": spec.lora.max_adapters,
            "max_cpu_loras": spec.lora.max_adapters,
            "max_lora_rank": lora_rank(spec.lora.max_rank),
        }
    if spec.gpus > 1:
        ours["tensor_parallel_size"] = spec.gpus
    return {**_defaults(spec), **spec.engine_args, **ours}


def lora_rank(wanted: int) -> int:
    """Return the least maximum rank that vLLM takes and that holds the wanted one."""
    return next((rank for rank in _LORA_RANKS if rank >= wanted), _LORA_RANKS[-1])


def environment(*, on_cpu: bool, local: bool) -> dict[str, str]:
    """Return what the engine's processes read: no telemetry; on a CPU no compiler and no pinning."""
    values = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if on_cpu:
        values |= {"TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    if local:
        values["HF_HUB_OFFLINE"] = "1"
    return values


def _defaults(spec: ModelSpec) -> Mapping[str, Any]:
    values: dict[str, Any] = {"disable_fastapi_docs": True}
    if spec.context_tokens:
        values["max_model_len"] = spec.context_tokens
    if not spec.gpus:
        values |= {"enforce_eager": True, "kv_cache_memory_bytes": _CPU_KV_CACHE_BYTES}
    elif spec.gpu_fraction:
        values["gpu_memory_utilization"] = round(spec.gpu_fraction * _USABLE_SHARE_OF_GPU, 4)
    return values

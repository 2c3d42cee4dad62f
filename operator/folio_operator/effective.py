"""What a portfolio means where it says nothing: the operator's defaults, each in one place. A spec is never
written to.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from folio_api.pools import Pool, ResourceRequirements
from folio_api.table import Feature, Input, Task
from folio_api.types import Quantity
from folio_operator.world import Member, Portfolio

GPU_RESOURCE = "nvidia.com/gpu"
GPU_RESOURCES = (GPU_RESOURCE, "amd.com/gpu", "gpu.intel.com/i915", "habana.ai/gaudi")
VLLM_REQUESTS_AT_ONCE = 64
LIGHT_REQUESTS_AT_ONCE = 64
EXTERNAL_REQUESTS_AT_ONCE = 256
GATEWAY_RESOURCES = ResourceRequirements(requests={"cpu": Quantity("1"), "memory": Quantity("2Gi")})
HEAD_RESOURCES = ResourceRequirements(requests={"cpu": Quantity("1"), "memory": Quantity("3Gi")})
"""What a head takes that runs nothing but Ray's own: measured 1.1 GiB at rest."""
LIGHT_CPUS = 0.5
"""CPUs of an encoder or retriever replica."""
VLLM_CPUS = 1.0


def tasks(portfolio: Portfolio, member: Member) -> tuple[Task, ...]:
    """Return what the model may be asked; an adapter does what its base does."""
    spec = member.model.spec
    if spec.tasks is not None:
        return spec.tasks
    if spec.adapter is not None:
        base = portfolio.base(member)
        return tasks(portfolio, base) if base else ("Chat", "Completion")
    if spec.encoder is not None:
        return ("Classification",) if spec.encoder.source else ("Embedding",)
    return ("Chat",) if spec.retriever is not None else ("Chat", "Completion")


def features(portfolio: Portfolio, member: Member) -> tuple[Feature, ...]:
    """Return what the model's API can do; an adapter that says nothing can do what its base can."""
    spec = member.model.spec
    base = portfolio.base(member) if spec.adapter is not None and not spec.features else None
    return base.model.spec.features if base else spec.features


def inputs(member: Member) -> tuple[Input, ...]:
    return member.model.spec.inputs


def context_tokens(portfolio: Portfolio, member: Member) -> int | None:
    """Return the longest request, an adapter's being its base's, vLLM's the one that its arguments set."""
    spec = member.model.spec
    if spec.context_tokens is not None:
        return spec.context_tokens
    if spec.adapter is not None:
        base = portfolio.base(member)
        return context_tokens(portfolio, base) if base else None
    limit = spec.vllm.engine_args.get("max_model_len") if spec.vllm else None
    return limit if isinstance(limit, int) and limit > 0 else None


def requests_at_once(member: Member) -> int:
    """Return what one replica takes at once; more wait where the autoscaler sees them."""
    spec = member.model.spec
    if spec.vllm is not None:
        limit = spec.vllm.engine_args.get("max_num_seqs")
        return limit if isinstance(limit, int) and limit > 0 else VLLM_REQUESTS_AT_ONCE
    return EXTERNAL_REQUESTS_AT_ONCE if spec.external is not None else LIGHT_REQUESTS_AT_ONCE


def target_ongoing_requests(member: Member) -> int:
    """Return the load per replica that scaling aims at: half of what a replica takes, unless written."""
    return member.entry.scaling.target_ongoing_requests or max(1, requests_at_once(member) // 2)


def gpus(member: Member) -> int:
    """Return the GPUs of one replica."""
    vllm = member.model.spec.vllm
    return vllm.gpus if vllm else 0


def gpu_share(member: Member) -> Decimal:
    """Return the GPUs of one replica, a part of one where it says so."""
    vllm = member.model.spec.vllm
    if vllm is None:
        return Decimal(0)
    return vllm.gpu_fraction if vllm.gpu_fraction is not None else Decimal(vllm.gpus)


def cpus(member: Member) -> float:
    """Return the CPUs that one replica is scheduled with."""
    vllm = member.model.spec.vllm
    if vllm is None:
        return LIGHT_CPUS
    return float(vllm.resources.cpu.value) if vllm.resources.cpu else VLLM_CPUS


def sentence_embedder(portfolio: Portfolio) -> Member | None:
    """Return the member that turns sentences into vectors for a MiniLM classifier, the first by name."""
    return next(
        (
            member
            for member in portfolio.members
            if member.engine == "encoder" and "Embedding" in tasks(portfolio, member)
        ),
        None,
    )


def has_own_application(member: Member) -> bool:
    """Whether Serve runs an application for it: adapters live in their base's, external models elsewhere."""
    return member.engine in ("vllm", "encoder", "retriever")


def second_replicas(member: Member) -> int:
    """Return the replicas that a second application of the model begins with."""
    return max(1, member.entry.scaling.min_replicas)


def written_or(written: ResourceRequirements, default: ResourceRequirements) -> ResourceRequirements:
    """Return what is written if anything is."""
    return written if written.requests or written.limits else default


def amounts(requirements: ResourceRequirements) -> Mapping[str, Decimal]:
    """Return what a worker has of each resource: its limit, or what it requests where it has none."""
    return {name: amount.value for name, amount in {**requirements.requests, **requirements.limits}.items()}


def worker_gpus(pool: Pool) -> int:
    held = amounts(pool.resources)
    return int(sum((held.get(name, Decimal(0)) for name in GPU_RESOURCES), Decimal(0)))


def worker_cpus(pool: Pool) -> float | None:
    held = amounts(pool.resources).get("cpu")
    return float(held) if held is not None else None

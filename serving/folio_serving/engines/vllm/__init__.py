"""The vLLM engine: one Serve application for one model, built without importing vLLM.

An application's build task stays alive as an idle process, so what it imports costs memory for ever; the
replica imports the engine by itself (docs/decisions/0030).
"""

from __future__ import annotations

from ray import serve
from ray.serve import Application

from folio_api.spec import MODEL_DEPLOYMENT, ModelSpec
from folio_serving.engines.vllm.arguments import check
from folio_serving.engines.vllm.replica import VLLMReplica

_HEALTH_CHECK_TIMEOUT_SECONDS = 30  # a busy CPU engine answers late, but it answers
_SHUTDOWN_SECONDS = 20


def deployment(spec: ModelSpec) -> Application:
    """Return the application that answers for one model; tunables are the Serve configuration's overrides."""
    check(spec.engine_args)
    return serve.deployment(
        serve.ingress()(VLLMReplica),
        name=MODEL_DEPLOYMENT,
        autoscaling_config={"min_replicas": 1, "max_replicas": 1},
        max_ongoing_requests=32,
        health_check_timeout_s=_HEALTH_CHECK_TIMEOUT_SECONDS,
        graceful_shutdown_timeout_s=_SHUTDOWN_SECONDS,
        ray_actor_options={"num_cpus": spec.cpus},
        placement_group_bundles=bundles(spec),
        placement_group_strategy="PACK",
    ).bind(spec)


def bundles(spec: ModelSpec) -> list[dict[str, float]]:
    """Return what one replica reserves: its process beside the first worker, then a bundle a worker."""
    if not spec.gpus:
        return [{"CPU": spec.cpus}]
    gpu = spec.gpu_fraction or 1.0
    return [{"CPU": spec.cpus, "GPU": gpu}, *({"GPU": gpu} for _ in range(spec.gpus - 1))]

"""The encoder engine: labels and vectors from a replica of some 150 MB, without vLLM and without torch."""

from __future__ import annotations

from ray import serve
from ray.serve import Application

from folio_api.spec import ModelSpec
from folio_serving.engines.encoder.replica import EncoderReplica

DEPLOYMENT = "Model"


def deployment(spec: ModelSpec) -> Application:
    """Return the application; what can be tuned is overridden by the Serve configuration."""
    return serve.deployment(
        serve.ingress()(EncoderReplica),
        name=DEPLOYMENT,
        autoscaling_config={"min_replicas": 1, "max_replicas": 1},
        max_ongoing_requests=64,
        ray_actor_options={"num_cpus": spec.cpus},
    ).bind(spec)

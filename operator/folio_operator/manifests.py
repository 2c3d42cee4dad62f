"""The objects of a portfolio in a cluster: the RayService, and what guards it."""

from __future__ import annotations

from typing import Any

from folio_operator import effective, pods
from folio_operator.children import (
    PORTFOLIO_LABEL,
    RENDERER,
    RENDERER_VERSION,
    ROLE_LABEL,
    ROTATE,
    Installation,
    Manifest,
    labels,
    metadata,
    ray_token_secret,
    rotation,
)
from folio_operator.groups import worker_groups
from folio_operator.rendered import Rendered
from folio_operator.serve_config import GATEWAY, ServeConfig
from folio_operator.serve_text import TEXTS
from folio_operator.world import Portfolio

HEAD_PORTS = {"gcs": 6379, "dashboard": 8265, "client": 10001, "serve": 8000, "metrics": 8080}
IDLE_WORKER_SECONDS = 300
CLUSTER_DELETION_DELAY_SECONDS = 60


def ray_service(
    portfolio: Portfolio,
    config: ServeConfig,
    revision: str,
    installation: Installation,
    held: Rendered | None = None,
) -> Manifest:
    """Return the RayService that asks for this configuration of Serve under this revision."""
    notes = {RENDERER: RENDERER_VERSION, "folio.dev/revision": revision}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": metadata(portfolio, portfolio.key.name, notes),
        "spec": {
            "excludeHeadPodFromServeSvc": True,
            "rayClusterDeletionDelaySeconds": CLUSTER_DELETION_DELAY_SECONDS,
            "upgradeStrategy": {"type": _upgrade(portfolio)},
            "serveService": _serve_service(portfolio),
            "serveConfigV2": TEXTS.write(config),
            "rayClusterConfig": ray_cluster(portfolio, installation, held),
        },
    }


def _upgrade(portfolio: Portfolio) -> str:
    strategy = portfolio.resource.spec.rollout.new_cluster.strategy
    return "NewCluster" if strategy == "BlueGreen" else "None"


def _serve_service(portfolio: Portfolio) -> Manifest:
    """Return the Service in front of the gateway; KubeRay moves it from one cluster to the next."""
    service = portfolio.resource.spec.gateway.service
    return {
        "metadata": {
            "name": portfolio.key.name,
            "labels": labels(portfolio),
            **({"annotations": dict(service.annotations)} if service.annotations else {}),
        },
        "spec": {"type": service.type, "ports": [{"name": "serve", "port": 8000, "targetPort": 8000}]},
    }


def ray_cluster(portfolio: Portfolio, installation: Installation, held: Rendered | None = None) -> Manifest:
    """Return the cluster below; any change of it but the groups' counts and new groups is another cluster.

    So of one that stands only these follow the portfolio.
    """
    if held is not None:
        groups = worker_groups(portfolio, held.installation(installation), held.groups)
        return {**held.cluster, "workerGroupSpecs": groups}
    spec = portfolio.resource.spec
    return {
        "rayVersion": spec.ray.version or installation.ray_version,
        "authOptions": {"mode": "token", "secretName": ray_token_secret(portfolio)},
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": _autoscaler(),
        **_fault_tolerance(portfolio),
        "headGroupSpec": _head(portfolio, installation),
        "workerGroupSpecs": worker_groups(portfolio, installation),
    }


def _autoscaler() -> Manifest:
    """Return the container beside the head's; without these KubeRay makes it neither restricted nor small."""
    return {
        "version": "v2",
        "idleTimeoutSeconds": IDLE_WORKER_SECONDS,
        "resources": {"requests": {"cpu": "50m", "memory": "192Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": pods.confined(),
    }


def _fault_tolerance(portfolio: Portfolio) -> dict[str, Any]:
    redis = portfolio.resource.spec.ray.redis
    if redis is None:
        return {}
    options: Manifest = {"redisAddress": redis.address}
    if redis.password:
        key = redis.password.secret_key_ref
        options["redisPassword"] = {"valueFrom": {"secretKeyRef": {"name": key.name, "key": key.key}}}
    return {"gcsFaultToleranceOptions": options}


def _head(portfolio: Portfolio, installation: Installation) -> Manifest:
    ray = portfolio.resource.spec.ray
    image = ray.image or installation.serving_image
    resources = effective.written_or(ray.head.resources, effective.HEAD_RESOURCES)
    container = pods.ray_container("ray-head", image, resources, with_secrets=False, ports=HEAD_PORTS)
    template = pods.pod_template(
        container,
        pod_labels={**labels(portfolio), ROLE_LABEL: "head"},
        pod_notes={ROTATE: rotation(portfolio)} if rotation(portfolio) else {},
        over=ray.head.pod_template,
        asks_kubernetes=True,  # the autoscaler that KubeRay puts beside it
    )
    return {
        "rayStartParams": {"num-cpus": "0", "num-gpus": "0", "dashboard-host": "0.0.0.0"},  # noqa: S104
        "template": template,
    }


def disruption_budget(portfolio: Portfolio) -> Manifest:
    """Return what keeps a node's drain from taking every gateway at once."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(portfolio, f"{portfolio.key.name}-gateway"),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": {PORTFOLIO_LABEL: portfolio.key.name, ROLE_LABEL: GATEWAY}},
        },
    }

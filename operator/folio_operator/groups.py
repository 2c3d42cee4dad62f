"""The worker groups of a portfolio's Ray cluster: one for the gateway, one per pool.

A group's place in the list is its identity to KubeRay, and its counts belong to the autoscaler. So the live
order and the live counts win over what a render would like.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from folio_api.pools import Pool
from folio_operator import effective, pods
from folio_operator.checks.capacity import least_workers
from folio_operator.children import (
    ROLE_LABEL,
    Installation,
    Manifest,
    gateway_secret,
    labels,
    models_secret,
)
from folio_operator.serve_config import GATEWAY, pool_marker
from folio_operator.world import Portfolio

GATEWAY_LOGICAL_CPUS = 16
"""What a gateway worker tells Ray that it has: models without a pool are scheduled by it, not slowed down."""
REPLICA_PORTS = {"serve": 8000}
GROUP_COUNTS = ("replicas", "minReplicas", "maxReplicas")


@dataclass(frozen=True)
class LiveGroup:
    """A worker group of the RayCluster as it runs."""

    manifest: Manifest
    replicas: int

    @property
    def name(self) -> str:
        return str(self.manifest["groupName"])


def worker_groups(
    portfolio: Portfolio, installation: Installation, live: Sequence[LiveGroup] = ()
) -> list[Manifest]:
    """Return all groups: live ones first and in their order, a removed pool's emptied, new ones appended."""
    wanted = {group["groupName"]: group for group in _wanted(portfolio, installation)}
    kept = [_kept(wanted.pop(group.name, None), group) for group in live]
    return [*kept, *wanted.values()]


def _kept(wanted: Manifest | None, live: LiveGroup) -> Manifest:
    """Return the group with its pods as they were rendered: others would be another cluster."""
    if wanted is None:
        return {**live.manifest, **_counts(0, 0)}
    counts = _counts(wanted["minReplicas"], wanted["maxReplicas"])
    counts["replicas"] = min(max(live.replicas, counts["minReplicas"]), counts["maxReplicas"])
    return {**live.manifest, **counts}


def _wanted(portfolio: Portfolio, installation: Installation) -> list[Manifest]:
    maxima = pool_maxima(portfolio)
    pools = portfolio.resource.spec.pools
    return [
        _gateway_group(portfolio, installation),
        *(_pool_group(portfolio, pool, installation, maxima[pool.name]) for pool in pools),
    ]


def _gateway_group(portfolio: Portfolio, installation: Installation) -> Manifest:
    gateway, ray = portfolio.resource.spec.gateway, portfolio.resource.spec.ray
    image = ray.image or installation.serving_image
    resources = effective.written_or(gateway.resources, effective.GATEWAY_RESOURCES)
    container = pods.ray_container(
        "ray-worker", image, resources, volumes=gateway.volumes, ports=REPLICA_PORTS
    )
    template = pods.pod_template(
        container,
        pod_labels={**labels(portfolio), ROLE_LABEL: GATEWAY},
        volumes=gateway.volumes,
        secret=gateway_secret(portfolio),
        over=gateway.pod_template,
    )
    counts = _counts(gateway.min_replicas, gateway.ceiling)
    return _group(GATEWAY, counts, str(GATEWAY_LOGICAL_CPUS), template)


def _pool_group(portfolio: Portfolio, pool: Pool, installation: Installation, most: int) -> Manifest:
    image = pool.image or portfolio.resource.spec.ray.image or installation.serving_image
    container = pods.ray_container(
        "ray-worker", image, pool.resources, volumes=pool.volumes, ports=REPLICA_PORTS
    )
    template = pods.pod_template(
        container,
        pod_labels={**labels(portfolio), ROLE_LABEL: f"pool-{pool.name}"},
        volumes=pool.volumes,
        secret=models_secret(portfolio),
        over=pool.pod_template,
    )
    cpus = effective.worker_cpus(pool)
    counts = _counts(pool.min_workers, most)
    return _group(pool.name, counts, str(ceil(cpus)) if cpus else None, template)


def _group(name: str, counts: Mapping[str, int], cpus: str | None, template: Manifest) -> Manifest:
    marker = json.dumps({pool_marker(name): 1})
    start = {"resources": f"'{marker}'"}
    return {
        "groupName": name,
        **counts,
        "rayStartParams": {**({"num-cpus": cpus} if cpus else {}), **start},
        "template": template,
    }


def _counts(least: int, most: int) -> dict[str, int]:
    return {"replicas": least, "minReplicas": least, "maxReplicas": most}


def without_counts(group: Mapping[str, Any]) -> Manifest:
    """Return what makes a worker group another one to KubeRay when it changes."""
    return {name: value for name, value in group.items() if name not in GROUP_COUNTS}


def worker_gpus(group: Mapping[str, Any]) -> int:
    """Return the GPUs that one worker of a rendered group takes."""
    limits = group["template"]["spec"]["containers"][0].get("resources", {}).get("limits", {})
    return sum(int(limits.get(name, 0)) for name in effective.GPU_RESOURCES)


def pool_maxima(portfolio: Portfolio) -> dict[str, int]:
    """Return each pool's most workers, cut so that their GPUs never sum above maxGPUs.

    Every pool keeps room for its models' minReplicas; what is left goes to pools in the order of the spec.
    """
    spec = portfolio.resource.spec
    if spec.max_gpus is None:
        return {pool.name: pool.max_workers for pool in spec.pools}
    least = {pool.name: least_workers(portfolio, pool) for pool in spec.pools}
    left = spec.max_gpus - sum(least[pool.name] * effective.worker_gpus(pool) for pool in spec.pools)
    maxima: dict[str, int] = {}
    for pool in spec.pools:
        gpus = effective.worker_gpus(pool)
        more = pool.max_workers - least[pool.name]
        given = min(more, max(0, left) // gpus) if gpus else more
        left -= given * gpus
        maxima[pool.name] = least[pool.name] + given
    return maxima

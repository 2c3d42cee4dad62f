"""Ray Serve's whole configuration: the gateway's application, and one per model.

What changes in `args` restarts every replica of that application, so only a model's identity stands there.
All that can be tuned stands in `deployments`. The autoscaling section is always there, because adding one
later would restart too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from folio_api import spec as contract
from folio_api.pools import PortfolioModel
from folio_api.table import GatewayConfig, Table
from folio_operator import effective
from folio_operator.applications import application, model_spec
from folio_operator.identity import identity
from folio_operator.site import Site
from folio_operator.world import Member, Portfolio

GATEWAY = "gateway"
GATEWAY_CPUS = 1.0
GATEWAYS_PER_WORKER = 1
"""Ray moves no replica: after a loss all of them would stand for good in the pod that was left."""
GATEWAY_REQUESTS_AT_ONCE = 1000
GATEWAY_TARGET_REQUESTS = 200
GATEWAY_QUEUED_REQUESTS = 2000
GATEWAY_SCALE_DOWN_SECONDS = 300.0
DRAIN_MARGIN_SECONDS = 5.0
UPSCALE_DELAY_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 90
PIN = 0.001
"""How much of its pool's marker a replica takes: a worker has 1, so the marker itself limits nothing."""

ServeConfig = dict[str, Any]


@dataclass(frozen=True)
class Rendering:
    """What decides the configuration besides the portfolio itself."""

    site: Site
    table: Table
    candidate: Table | None = None
    canary_percent: int = 0
    nonces: Mapping[str, str] = field(default_factory=dict)
    """Per model; a new one makes Serve try an application again that it gave up on."""
    starting: Collection[str] = ()
    """Applications that must show that they answer before they are asked: never without a replica."""
    is_first: bool = False
    """Nothing serves yet, and KubeRay lets nobody in before all that is asked for runs: one gateway."""
    standing: Collection[Mapping[str, Any]] = ()
    """Applications that stay as they were asked for, beside their successors."""


def serve_config(
    portfolio: Portfolio, rendering: Rendering, *, applications: Collection[str] | None = None
) -> ServeConfig:
    """Return the configuration with the named applications, or all of them.

    A gateway that is deployed alone first answers at once, and no model can keep it from being Ready.
    """
    everything = [_gateway(portfolio, rendering)]
    everything += [
        _model(portfolio, member, rendering)
        for member in portfolio.members
        if effective.has_own_application(member)
    ]
    everything += [dict(each) for each in rendering.standing]
    return {
        "proxy_location": "EveryNode",
        "http_options": {
            "host": rendering.site.http_host,
            "port": rendering.site.http_port,
            "keep_alive_timeout_s": KEEP_ALIVE_SECONDS,
        },
        "logging_config": {"encoding": "JSON", "enable_access_log": False},
        "applications": [each for each in everything if applications is None or each["name"] in applications],
    }


def pool_marker(pool: str) -> str:
    """Return the Ray resource that tells a pool's workers apart."""
    return f"{contract.POOL_MARKER}{pool}"


def _gateway(portfolio: Portfolio, rendering: Rendering) -> dict[str, Any]:
    config = GatewayConfig(
        active=rendering.table, candidate=rendering.candidate, canary_percent=rendering.canary_percent
    )
    return {
        "name": GATEWAY,
        "route_prefix": "/",
        "import_path": "folio_serving.app:gateway",
        "args": {"portfolio": portfolio.key.name, "namespace": portfolio.key.namespace},
        "deployments": [_gateway_deployment(portfolio, rendering, config)],
    }


def _gateway_deployment(portfolio: Portfolio, rendering: Rendering, config: GatewayConfig) -> dict[str, Any]:
    gateway = portfolio.resource.spec.gateway
    deadline_seconds = rendering.table.limits.deadline_seconds
    return {
        "name": contract.GATEWAY_DEPLOYMENT,
        "autoscaling_config": {
            "min_replicas": 1 if rendering.is_first else gateway.min_replicas,
            "max_replicas": gateway.ceiling,
            "target_ongoing_requests": GATEWAY_TARGET_REQUESTS,
            "upscale_delay_s": UPSCALE_DELAY_SECONDS,
            "downscale_delay_s": GATEWAY_SCALE_DOWN_SECONDS,
        },
        "max_ongoing_requests": GATEWAY_REQUESTS_AT_ONCE,
        "max_queued_requests": GATEWAY_QUEUED_REQUESTS,
        "max_surge_percent": 100,
        "graceful_shutdown_timeout_s": deadline_seconds + DRAIN_MARGIN_SECONDS,
        "graceful_shutdown_wait_loop_s": 0.5,
        **_actor(rendering.site, GATEWAY_CPUS, pool=None),
        **({"max_replicas_per_node": GATEWAYS_PER_WORKER} if rendering.site.pins_to_pools else {}),
        "user_config": config.model_dump(mode="json", exclude_defaults=True),
    }


def _model(portfolio: Portfolio, member: Member, rendering: Rendering) -> dict[str, Any]:
    name = application(portfolio, member)
    spec = model_spec(portfolio, member, nonce=rendering.nonces.get(member.name, ""))
    least = max(member.entry.scaling.min_replicas, int(name in rendering.starting))
    return {
        "name": name,
        "route_prefix": None,
        "import_path": "folio_serving.app:model",
        "args": spec.model_dump(mode="json", exclude_none=True),
        "deployments": [_model_deployment(portfolio, member, rendering.site, least)],
    }


def _model_deployment(portfolio: Portfolio, member: Member, site: Site, least: int) -> dict[str, Any]:
    return {
        "name": contract.MODEL_DEPLOYMENT,
        "autoscaling_config": _autoscaling(member, least),
        "max_ongoing_requests": effective.requests_at_once(member),
        "max_queued_requests": member.entry.scaling.max_queued_requests,
        **_update(member.entry),
        "graceful_shutdown_timeout_s": member.entry.drain_timeout_seconds,
        "graceful_shutdown_wait_loop_s": 0.5,
        **_placement(member, site),
        "user_config": _adapters(portfolio, member).model_dump(mode="json", exclude_none=True),
    }


def _autoscaling(member: Member, least: int) -> dict[str, Any]:
    scaling = member.entry.scaling
    return {
        "min_replicas": least,
        "max_replicas": scaling.ceiling,
        "target_ongoing_requests": effective.target_ongoing_requests(member),
        "upscale_delay_s": UPSCALE_DELAY_SECONDS,
        "downscale_delay_s": scaling.scale_down_delay_seconds,
    }


def _update(entry: PortfolioModel) -> dict[str, Any]:
    """Return how Serve replaces replicas: new ones first, or all old ones away first while the next rung
    stands in.
    """
    if entry.update_strategy.type == "Recreate":
        return {"max_surge_percent": 0, "rolling_update_percentage": 1.0}
    return {"max_surge_percent": entry.update_strategy.max_surge_percent}


def _placement(member: Member, site: Site) -> dict[str, Any]:
    if member.engine != "vllm":
        return _actor(site, effective.cpus(member), pool=member.entry.pool)
    return _engine_bundles(member) if site.pins_to_pools else {}


def _actor(site: Site, cpus: float, pool: str | None) -> dict[str, Any]:
    """Return what a replica takes; on one machine the application's own defaults are right."""
    marker = {pool_marker(pool or GATEWAY): PIN} if site.pins_to_pools else {}
    return {"ray_actor_options": {"num_cpus": cpus, **({"resources": marker} if marker else {})}}


def _engine_bundles(member: Member) -> dict[str, Any]:
    """Return what a vLLM replica reserves: its process beside the first GPU, then a bundle a GPU, on one
    worker.
    """
    marker = {pool_marker(member.entry.pool or GATEWAY): PIN}
    first: dict[str, float] = {"CPU": effective.cpus(member), **marker}
    if not effective.gpus(member):
        return {"placement_group_bundles": [first], "placement_group_strategy": "STRICT_PACK"}
    gpu = {"GPU": min(1.0, float(effective.gpu_share(member))), **marker}
    more = [gpu for _ in range(effective.gpus(member) - 1)]
    return {"placement_group_bundles": [{**first, **gpu}, *more], "placement_group_strategy": "STRICT_PACK"}


def _adapters(portfolio: Portfolio, base: Member) -> contract.ModelConfig:
    """Return the adapters that live in this model's replicas; they come and go in place."""
    return contract.ModelConfig(
        adapters=tuple(
            contract.Adapter(
                name=member.name,
                source=contract.Source(
                    uri=member.model.spec.adapter.source.uri,
                    revision=member.model.spec.adapter.source.revision,
                ),
                rank=member.model.spec.adapter.rank or _slots(base),
                identity=identity(portfolio, member),
            )
            for member in portfolio.members
            if member.model.spec.adapter is not None and portfolio.base(member) == base
        )
    )


def _slots(base: Member) -> int:
    vllm = base.model.spec.vllm
    return vllm.lora.max_rank if vllm and vllm.lora else 0

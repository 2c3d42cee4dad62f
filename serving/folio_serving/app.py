"""The Serve applications: plain classes from elsewhere, wrapped here. The one place that knows both Serve and
the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application

from folio_api.spec import GATEWAY_DEPLOYMENT, MODEL_DEPLOYMENT, ModelSpec
from folio_serving.counter_actor import ActorCounter
from folio_serving.errors import Trouble
from folio_serving.fleet import Fleet
from folio_serving.gateway import Gateway
from folio_serving.ledger import RequestLog
from folio_serving.process import GatewayProcess
from folio_serving.replicas import (
    Listener,
    Replicas,
    ServeReplicas,
    haproxy_error_file,
    own_replica,
)
from folio_serving.secrets import Secrets
from folio_serving.state import GATEWAY_APPLICATION


class ServeGateway:
    """The gateway as Serve runs it."""

    def __init__(self, portfolio: str, namespace: str) -> None:
        self._portfolio = portfolio
        self._namespace = namespace
        self._process: GatewayProcess | None = None
        self._edit: asyncio.Task[None] | None = None

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Called by Serve with `user_config`: once before the first request, then at every edit.

        An edit is prepared after this returned: Serve sends no requests to a replica meanwhile.
        """
        process = self._running()
        if process.keeper.active is None:
            await process.reconfigure(config)
        else:
            self._edit = asyncio.get_running_loop().create_task(process.reconfigure(config))

    def __serve_build_asgi_app__(self) -> Gateway:
        return self._running().app

    def _running(self) -> GatewayProcess:
        if self._process is None:
            write_error_file(haproxy_error_file())
            fleet = Fleet(Secrets.of_environment(), _serve_replicas)
            fleet.also_watch(GATEWAY_APPLICATION)
            counter = ActorCounter(self._portfolio, self._namespace)
            self._process = GatewayProcess(own_replica(), fleet, RequestLog(), counter)
            self._process.app.server_cancels = True
        return self._process


def _serve_replicas(listener: Listener) -> Replicas:
    return ServeReplicas(listener, {GATEWAY_APPLICATION: GATEWAY_DEPLOYMENT})


def write_error_file(path: Path) -> None:
    """Have HAProxy say in OpenAI's words that no gateway answers, from its next reload on.

    Serve has it answer 500 in plain text and offers no setting. A node without HAProxy has no such file.
    """
    trouble = Trouble("NotReady", "no gateway replica answers")
    body = trouble.body()
    head = (
        f"HTTP/1.1 {trouble.shape.status} Service Unavailable\r\nContent-Type: application/json\r\n"
        f"Retry-After: {trouble.shape.retry_after_seconds}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with contextlib.suppress(OSError):
        if path.exists():
            path.write_bytes(head.encode() + body)


def gateway(args: dict[str, str]) -> Application:
    """Build the gateway's application; all that may change while it runs is in its `user_config`."""
    deployment = serve.deployment(serve.ingress()(ServeGateway))
    options = {"name": GATEWAY_DEPLOYMENT, "logging_config": {"enable_access_log": False}}  # we have our own
    return deployment.options(**options).bind(args["portfolio"], args["namespace"])


def model(args: dict[str, Any]) -> Application:
    """Build a model's application. Each engine is imported by its own replicas only."""
    spec = ModelSpec.model_validate(args)
    if spec.engine == "vllm":
        from folio_serving.engines import vllm  # noqa: PLC0415

        return vllm.deployment(spec)
    if spec.engine == "encoder":
        from folio_serving.engines.encoder.replica import EncoderReplica  # noqa: PLC0415

        return _light(EncoderReplica, spec)
    from folio_serving.engines.retriever.replica import RetrieverReplica  # noqa: PLC0415

    return _light(RetrieverReplica, spec)


def _light(replica: type, spec: ModelSpec) -> Application:
    """Return the application of an engine that answers at once, on a CPU; tunables are overridden."""
    return serve.deployment(
        serve.ingress()(replica),
        name=MODEL_DEPLOYMENT,
        autoscaling_config={"min_replicas": 1, "max_replicas": 1},
        max_ongoing_requests=64,
        ray_actor_options={"num_cpus": spec.cpus},
    ).bind(spec)

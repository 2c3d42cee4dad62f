"""The PodMonitor of a portfolio, for a Prometheus that the installation names."""

from __future__ import annotations

from folio_operator.children import PORTFOLIO_LABEL, ROLE_LABEL, Installation, Manifest, metadata
from folio_operator.cluster import POD_MONITOR
from folio_operator.manifests import HEAD_PORTS
from folio_operator.serve_config import GATEWAY
from folio_operator.site import HTTP_PORT
from folio_operator.world import Portfolio


def pod_monitors(portfolio: Portfolio, installation: Installation) -> tuple[Manifest, ...]:
    """Return what has Ray's metrics read on every pod, and the gateway's where one replica keeps them all.

    Of several, the public port answers with one after the other, whose counters would seem to jump.
    """
    if not installation.monitoring_namespace:
        return ()
    found = [_monitor(portfolio, "ray", {}, HEAD_PORTS["metrics"])]
    if portfolio.resource.spec.gateway.ceiling == 1:
        found.append(_monitor(portfolio, "gateway", {ROLE_LABEL: GATEWAY}, HTTP_PORT))
    return tuple(found)


def _monitor(portfolio: Portfolio, name: str, pods: dict[str, str], port: int) -> Manifest:
    wanted = {PORTFOLIO_LABEL: portfolio.key.name, **pods}
    return {
        "apiVersion": POD_MONITOR.api_version,
        "kind": POD_MONITOR.name,
        "metadata": metadata(portfolio, f"{portfolio.key.name}-{name}"),
        "spec": {
            "selector": {"matchLabels": wanted},
            "podTargetLabels": [PORTFOLIO_LABEL, ROLE_LABEL],
            "podMetricsEndpoints": [{"portNumber": port, "path": "/metrics"}],
        },
    }

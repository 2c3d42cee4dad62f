"""Who may talk to a portfolio's pods: clients to the gateway, the pods among themselves, the operators to the
dashboard.

Replicas answer on ports of their own to any pod that reaches them; besides the internal token, this is what
keeps others out.
"""

from __future__ import annotations

from folio_operator.children import PORTFOLIO_LABEL, ROLE_LABEL, Installation, Manifest, metadata
from folio_operator.manifests import HEAD_PORTS
from folio_operator.serve_config import GATEWAY
from folio_operator.site import HTTP_PORT
from folio_operator.world import Portfolio

KUBERAY_LABELS = {"app.kubernetes.io/component": "kuberay-operator"}
"""The one label that the pods of KubeRay's chart and those of its manifests share."""
NAMESPACE_LABEL = "kubernetes.io/metadata.name"


def network_policies(portfolio: Portfolio, installation: Installation) -> tuple[Manifest, ...]:
    return (_gateway(portfolio), _inside(portfolio, installation))


def _gateway(portfolio: Portfolio) -> Manifest:
    """Whoever reaches the Service may ask the gateway, and nothing else on its pods."""
    pods = {PORTFOLIO_LABEL: portfolio.key.name, ROLE_LABEL: GATEWAY}
    return _policy(portfolio, "gateway", pods, [{"ports": [_tcp(HTTP_PORT)]}])


def _inside(portfolio: Portfolio, installation: Installation) -> Manifest:
    """Pods of a portfolio reach each other on every port; the operators reach the dashboard."""
    own = {PORTFOLIO_LABEL: portfolio.key.name}
    kuberay = installation.kuberay_labels or KUBERAY_LABELS
    operators = [
        {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: installation.operator_namespace}}},
        {"namespaceSelector": {}, "podSelector": {"matchLabels": dict(kuberay)}},
    ]
    rules: list[Manifest] = [
        {"from": [{"podSelector": {"matchLabels": dict(own)}}]},
        {"from": operators, "ports": [_tcp(HEAD_PORTS["dashboard"]), _tcp(HTTP_PORT)]},
    ]
    if prometheus := installation.monitoring_namespace:
        watcher = {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: prometheus}}}
        rules.append({"from": [watcher], "ports": [_tcp(HEAD_PORTS["metrics"])]})
    return _policy(portfolio, "ray", own, rules)


def _policy(portfolio: Portfolio, name: str, pods: dict[str, str], ingress: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(portfolio, f"{portfolio.key.name}-{name}"),
        "spec": {"podSelector": {"matchLabels": dict(pods)}, "policyTypes": ["Ingress"], "ingress": ingress},
    }


def _tcp(port: int) -> Manifest:
    return {"protocol": "TCP", "port": port}

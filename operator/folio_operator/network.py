"""Who may talk to a portfolio's pods (clients to the gateway, the pods among themselves, the operators to the
dashboard), and whom they may talk to (each other, names, public addresses, and what is listed).

Replicas answer on ports of their own to any pod that reaches them; besides the internal token, this is what
keeps others out. What runs in a model's replica reads strangers' text, so that it has no business among a
cluster's private addresses, nor at the address where a cloud hands out its machines' credentials.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from folio_operator.children import PORTFOLIO_LABEL, ROLE_LABEL, Egress, Installation, Manifest, metadata
from folio_operator.manifests import HEAD_PORTS
from folio_operator.serve_config import GATEWAY
from folio_operator.site import HTTP_PORT
from folio_operator.world import Portfolio

KUBERAY_LABELS = {"app.kubernetes.io/component": "kuberay-operator"}
"""The one label that the pods of KubeRay's chart and those of its manifests share."""
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
DNS_PORT = 53
EVERYWHERE = ("0.0.0.0/0", "::/0")
PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "240.0.0.0/4", "fc00::/7")
"""Class E, too: reserved to the world, and the pods' addresses of some clusters."""
LOCAL = ("169.254.0.0/16", "168.63.129.16/32", "192.0.0.0/24", "198.18.0.0/15", "fe80::/10")
"""Of one link or one cloud, metadata of its machines above all; nobody but DNS has business there."""
METADATA = ("100.100.100.200/32", "fd00:ec2::254/128")
"""Metadata of machines that clouds put among private addresses."""
ITSELF = ("0.0.0.0/8", "127.0.0.0/8")
"""Of whoever translates an address: in a pod these never leave it."""
NAT64 = IPv6Network("64:ff9b::/96")
"""Where translators answer for IPv4: the last 32 bits are the address that they go to."""
TUNNELS = ("64:ff9b:1::/48", "2001::/32", "2002::/16")
"""A site's own translators, Teredo and 6to4: they hold IPv4 addresses too, but not where a block could tell
the private ones apart."""


def network_policies(portfolio: Portfolio, installation: Installation) -> tuple[Manifest, ...]:
    into = (_gateway(portfolio), _inside(portfolio, installation))
    egress = installation.egress
    return into if egress is None else (*into, _egress(portfolio, egress), _head(portfolio, egress))


def _gateway(portfolio: Portfolio) -> Manifest:
    """Whoever reaches the Service may ask the gateway, and nothing else on its pods."""
    pods = {PORTFOLIO_LABEL: portfolio.key.name, ROLE_LABEL: GATEWAY}
    return _policy(portfolio, "gateway", pods, ingress=[{"ports": [_tcp(HTTP_PORT)]}])


def _inside(portfolio: Portfolio, installation: Installation) -> Manifest:
    """Pods of a portfolio reach each other on every port; the operators reach the dashboard."""
    kuberay = installation.kuberay_labels or KUBERAY_LABELS
    operators = [
        _namespace(installation.operator_namespace),
        {"namespaceSelector": {}, "podSelector": {"matchLabels": dict(kuberay)}},
    ]
    rules: list[Manifest] = [
        {"from": [_own(portfolio)]},
        {"from": operators, "ports": [_tcp(HEAD_PORTS["dashboard"]), _tcp(HTTP_PORT)]},
    ]
    if prometheus := installation.monitoring_namespace:
        rules.append({"from": [_namespace(prometheus)], "ports": [_tcp(HEAD_PORTS["metrics"])]})
    return _policy(portfolio, "ray", {PORTFOLIO_LABEL: portfolio.key.name}, ingress=rules)


def _egress(portfolio: Portfolio, egress: Egress) -> Manifest:
    """Every pod reaches names, its own kind, public addresses, its Redis, and what is listed."""
    rules: list[Manifest] = [
        {"ports": [{"protocol": "UDP", "port": DNS_PORT}, _tcp(DNS_PORT)]},
        {"to": [_own(portfolio)]},
        {"to": [_block(cidr, _by_any_way(*PRIVATE, *LOCAL)) for cidr in EVERYWHERE]},
        *_redis(portfolio),
        *(dict(rule) for rule in egress.allow),
    ]
    return _policy(portfolio, "egress", {PORTFOLIO_LABEL: portfolio.key.name}, egress=rules)


def _head(portfolio: Portfolio, egress: Egress) -> Manifest:
    """The head's pod reaches the API server besides, which no selector finds: the autoscaler in it must."""
    pods = {PORTFOLIO_LABEL: portfolio.key.name, ROLE_LABEL: "head"}
    closed = _by_any_way(*LOCAL, *METADATA)
    blocks = [_block(cidr, closed) for cidr in egress.api_server_cidrs]
    rule = {"to": blocks, "ports": [_tcp(port) for port in egress.api_server_ports]}
    return _policy(portfolio, "head", pods, egress=[rule])


def _redis(portfolio: Portfolio) -> list[Manifest]:
    """Return the way to Redis: a NetworkPolicy knows no names, so its name tells where that is."""
    redis = portfolio.resource.spec.ray.redis
    if redis is None:
        return []
    host, _, port = redis.address.rpartition(":")
    return [{"to": _places(host), "ports": [_tcp(int(port))]}]


def _places(host: str) -> list[Manifest]:
    labels = host.split(".")
    if _is_address(host):
        return [{"ipBlock": {"cidr": f"{host}/32"}}]
    if len(labels) == 1:  # a Service of the portfolio's own namespace
        return [{"podSelector": {}}]
    if len(labels) == 2 or labels[2] == "svc":
        return [_namespace(labels[1])]
    return [_block(cidr, METADATA) for cidr in PRIVATE]


@lru_cache(maxsize=4)
def _by_any_way(*cidrs: str) -> tuple[str, ...]:
    """Return these blocks with the addresses of IPv6 that lead to the same places."""
    written = [ip_network(cidr) for cidr in (*cidrs, *ITSELF)]
    behind = [_behind_nat64(each) for each in written if isinstance(each, IPv4Network)]
    return (*cidrs, *behind, *TUNNELS)


def _behind_nat64(network: IPv4Network) -> str:
    address = int(NAT64.network_address) + int(network.network_address)
    return str(IPv6Network((address, NAT64.prefixlen + network.prefixlen)))


def _block(cidr: str, without: Iterable[str]) -> Manifest:
    """Return the addresses of a block without those of others that lie within it."""
    inside = [each for each in without if _is_within(each, cidr)]
    return {"ipBlock": {"cidr": cidr, **({"except": inside} if inside else {})}}


@lru_cache(maxsize=256)
def _is_within(cidr: str, outer: str) -> bool:
    one, other = ip_network(cidr), ip_network(outer, strict=False)
    return one.version == other.version and one != other and one.subnet_of(other)  # type: ignore[arg-type]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _own(portfolio: Portfolio) -> Manifest:
    return {"podSelector": {"matchLabels": {PORTFOLIO_LABEL: portfolio.key.name}}}


def _namespace(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: name}}}


def _policy(
    portfolio: Portfolio,
    name: str,
    pods: Mapping[str, str],
    *,
    ingress: list[Manifest] | None = None,
    egress: list[Manifest] | None = None,
) -> Manifest:
    rules: dict[str, Any] = {"Ingress": ingress, "Egress": egress}
    written = {kind: found for kind, found in rules.items() if found is not None}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(portfolio, f"{portfolio.key.name}-{name}"),
        "spec": {
            "podSelector": {"matchLabels": dict(pods)},
            "policyTypes": list(written),
            **{kind.lower(): found for kind, found in written.items()},
        },
    }


def _tcp(port: int) -> Manifest:
    return {"protocol": "TCP", "port": port}

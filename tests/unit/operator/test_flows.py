"""Who may open a connection to a portfolio's pods, by the rules of NetworkPolicies: a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.unit.operator.desk import PORTFOLIO, Edits, rendered

from folio_operator.children import Egress, Installation
from folio_operator.desired import Circumstances


@dataclass(frozen=True)
class Pod:
    """Somebody in the cluster."""

    namespace: str
    labels: Mapping[str, str]


def pod(namespace: str, **labels: str) -> Pod:
    return Pod(namespace, {f"folio.dev/{name}": value for name, value in labels.items()})


HEAD, GATEWAY = pod("bank", portfolio="desk", role="head"), pod("bank", portfolio="desk", role="gateway")
WORKER = pod("bank", portfolio="desk", role="pool-l4")
OTHER_PORTFOLIO = pod("bank", portfolio="shop", role="gateway")
SAME_NAME_ELSEWHERE = pod("shop", portfolio="desk", role="gateway")
CLIENT, STRANGER = Pod("bank", {"app": "web"}), Pod("elsewhere", {"app": "web"})
OPERATOR = Pod("folio-system", {"app.kubernetes.io/name": "folio"})
KUBERAY = Pod("kuberay-system", {"app.kubernetes.io/component": "kuberay-operator"})
PROMETHEUS = Pod("monitoring", {"app": "prometheus"})
PORTS = {
    "the gateway's": 8000,
    "the dashboard's": 8265,
    "the GCS's": 6379,
    "the client's": 10001,
    "HAProxy's statistics": 8404,
    "HAProxy's metrics": 9101,
    "a replica's": 30000,
    "a replica's, further up": 30207,
    "Ray's metrics": 8080,
}
ALL = frozenset(PORTS)
FROM_OPERATORS = frozenset({"the dashboard's", "the gateway's"})
NOTHING: frozenset[str] = frozenset()
DEFAULT = Egress()

FLOWS = [
    (GATEWAY, HEAD, ALL),
    (GATEWAY, WORKER, ALL),
    (HEAD, GATEWAY, ALL),
    (WORKER, WORKER, ALL),
    (CLIENT, GATEWAY, frozenset({"the gateway's"})),
    (STRANGER, GATEWAY, frozenset({"the gateway's"})),
    (CLIENT, HEAD, NOTHING),
    (CLIENT, WORKER, NOTHING),
    (STRANGER, HEAD, NOTHING),
    (STRANGER, WORKER, NOTHING),
    (OTHER_PORTFOLIO, GATEWAY, frozenset({"the gateway's"})),
    (OTHER_PORTFOLIO, HEAD, NOTHING),
    (OTHER_PORTFOLIO, WORKER, NOTHING),
    (SAME_NAME_ELSEWHERE, HEAD, NOTHING),
    (SAME_NAME_ELSEWHERE, WORKER, NOTHING),
    (OPERATOR, HEAD, FROM_OPERATORS),
    (OPERATOR, GATEWAY, FROM_OPERATORS),
    (KUBERAY, HEAD, FROM_OPERATORS),
    (KUBERAY, WORKER, FROM_OPERATORS),
    (PROMETHEUS, HEAD, NOTHING),
]


def policies(
    monitoring: str = "", *, edits: Edits | None = None, egress: Egress | None = DEFAULT
) -> list[dict[str, Any]]:
    installation = Installation(monitoring_namespace=monitoring, egress=egress)
    found = rendered(edits, Circumstances(installation=installation)).manifests
    return [each for each in found if each["kind"] == "NetworkPolicy"]


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "the table knows no other selector"
    return selector.get("matchLabels", {}).items() <= labels.items()


def is_peer(peer: Mapping[str, Any], source: Pod, namespace: str) -> bool:
    """Without a namespaceSelector a peer is of the policy's own namespace."""
    assert set(peer) <= {"namespaceSelector", "podSelector"}
    names = {"kubernetes.io/metadata.name": source.namespace}
    inside = (
        matches(peer["namespaceSelector"], names)
        if "namespaceSelector" in peer
        else source.namespace == namespace
    )
    return inside and matches(peer.get("podSelector", {}), source.labels)


def opens(rule: Mapping[str, Any], source: Pod, namespace: str, port: int) -> bool:
    peers, ports = rule.get("from"), rule.get("ports")
    from_here = peers is None or any(is_peer(each, source, namespace) for each in peers)
    return from_here and (ports is None or any(each == {"protocol": "TCP", "port": port} for each in ports))


def allowed(found: list[dict[str, Any]], source: Pod, target: Pod) -> frozenset[str]:
    """The ports that any policy of the target opens; a pod that none selects is open to everybody."""
    selecting = [
        each
        for each in found
        if "Ingress" in each["spec"]["policyTypes"]
        and each["metadata"]["namespace"] == target.namespace
        and matches(each["spec"]["podSelector"], target.labels)
    ]
    if not selecting:
        return ALL
    rules = [(rule, each) for each in selecting for rule in each["spec"]["ingress"]]
    return frozenset(
        name
        for name, port in PORTS.items()
        if any(opens(rule, source, each["metadata"]["namespace"], port) for rule, each in rules)
    )


@pytest.mark.parametrize(("source", "target", "ports"), FLOWS)
def test_a_flow_is_open_exactly_where_the_table_says(source: Pod, target: Pod, ports: frozenset[str]):
    assert allowed(policies(), source, target) == ports


def test_prometheus_reads_metrics_and_nothing_else_where_the_installation_names_it():
    found = policies("monitoring")

    assert allowed(found, PROMETHEUS, WORKER) == {"Ray's metrics"}
    assert allowed(found, PROMETHEUS, GATEWAY) == {"Ray's metrics", "the gateway's"}
    assert allowed(found, STRANGER, WORKER) == NOTHING


ADDRESSES = {
    "a pod of the portfolio": "10.244.1.7",
    "a pod of another portfolio": "10.244.1.8",
    "the API server": "10.0.0.1",
    "a service of the site": "192.168.7.7",
    "a pod in class E": "240.10.0.7",
    "the cloud's metadata": "169.254.169.254",
    "Azure's": "168.63.129.16",
    "Alibaba's": "100.100.100.200",
    "a provider": "93.184.216.34",
    "a provider by IPv6": "2606:2800:220:1::1",
    "metadata by IPv6": "fd00:ec2::254",
    "a provider through NAT64": "64:ff9b::93.184.216.34",
    "a service of the site through NAT64": "64:ff9b::192.168.7.7",
    "the translator itself": "64:ff9b::127.0.0.1",
    "the cloud's metadata through NAT64": "64:ff9b::169.254.169.254",
    "Alibaba's through NAT64": "64:ff9b::100.100.100.200",
    "a service through the site's own NAT64": "64:ff9b:1::192.168.7.7",
    "a service through 6to4": "2002:c0a8:707::1",
    "a service through Teredo": "2001:0:5db8:d822:0:3fff:3f57:f8f8",
}
REDIS_PORT = 6379
ASKED = (80, 443, 8000, REDIS_PORT)
PROVIDERS = ("a provider", "a provider by IPv6", "a provider through NAT64")
WORLD = {(name, port) for name in PROVIDERS for port in ASKED}
OWN = {("a pod of the portfolio", port) for port in ASKED}
NAMES = {(name, 53) for name in ADDRESSES}
CLOUDS = {
    *("the cloud's metadata", "Azure's", "Alibaba's", "metadata by IPv6"),
    *("the cloud's metadata through NAT64", "Alibaba's through NAT64", "the translator itself"),
}
TUNNELS = {
    "a service through the site's own NAT64",
    "a service through 6to4",
    "a service through Teredo",
}
API_SERVER = {(name, 443) for name in ADDRESSES.keys() - CLOUDS - TUNNELS}


def reached(found: list[dict[str, Any]], source: Pod) -> set[tuple[str, int]]:
    """The addresses and TCP ports that any policy of the source opens to it."""
    rules = [
        (rule, each["metadata"]["namespace"])
        for each in found
        if "Egress" in each["spec"]["policyTypes"] and matches(each["spec"]["podSelector"], source.labels)
        for rule in each["spec"]["egress"]
    ]
    return {
        (name, port)
        for name in ADDRESSES
        for port in (53, *ASKED)
        for rule, namespace in rules
        if leads(rule, name, namespace) and is_port(rule, port)
    }


def leads(rule: Mapping[str, Any], name: str, namespace: str) -> bool:
    pods = {"a pod of the portfolio": HEAD, "a pod of another portfolio": OTHER_PORTFOLIO}
    return "to" not in rule or any(
        holds(peer["ipBlock"], ADDRESSES[name])
        if "ipBlock" in peer
        else name in pods and is_peer(peer, pods[name], namespace)
        for peer in rule["to"]
    )


def holds(block: Mapping[str, Any], address: str) -> bool:
    def within(cidr: str) -> bool:
        return ip_address(address) in ip_network(cidr)

    return within(block["cidr"]) and not any(map(within, block.get("except", ())))


def is_port(rule: Mapping[str, Any], port: int) -> bool:
    return "ports" not in rule or {"protocol": "TCP", "port": port} in rule["ports"]


@pytest.mark.parametrize(("source", "more"), [(GATEWAY, set()), (WORKER, set()), (HEAD, API_SERVER)])
def test_pods_reach_names_each_other_and_public_addresses_and_the_head_the_api_server(source, more):
    assert reached(policies(), source) == NAMES | OWN | WORLD | more


@pytest.mark.parametrize(
    ("address", "places"),
    [
        ("redis:6379", {"a pod of another portfolio"}),
        ("redis.elsewhere:6379", set()),
        ("redis.bank.svc.cluster.local:6379", {"a pod of another portfolio"}),
        ("192.168.7.7:6379", {"a service of the site"}),
        (
            "cache.example.com:6379",
            {"a pod of another portfolio", "the API server", "a service of the site", "a pod in class E"},
        ),
    ],
)
def test_redis_is_reached_at_its_port_where_its_name_says_that_it_is(address: str, places: set[str]):
    found = policies(edits={PORTFOLIO: {"ray.redis": {"address": address}}})

    assert reached(found, WORKER) == NAMES | OWN | WORLD | {(name, REDIS_PORT) for name in places}


def test_what_the_installation_lists_is_reached_and_its_api_server_alone():
    rule = {"to": [{"ipBlock": {"cidr": "192.168.0.0/16"}}], "ports": [{"protocol": "TCP", "port": 443}]}
    egress = Egress(allow=(rule,), api_server_cidrs=("10.0.0.0/24",), api_server_ports=(443,))
    found = policies(egress=egress)

    assert reached(found, WORKER) == NAMES | OWN | WORLD | {("a service of the site", 443)}
    assert reached(found, HEAD) - reached(found, WORKER) == {("the API server", 443)}


def test_without_egress_rules_nothing_is_said_of_what_pods_reach():
    assert [each["spec"]["policyTypes"] for each in policies(egress=None)] == [["Ingress"], ["Ingress"]]


def test_the_guide_has_the_table_of_every_rule_that_is_rendered():
    rule = {"to": [{"ipBlock": {"cidr": "10.7.0.0/16"}}], "ports": [{"protocol": "TCP", "port": 443}]}
    redis = {PORTFOLIO: {"ray.redis": {"address": "redis:6379"}}}
    rows = "\n".join(table(policies("monitoring", edits=redis, egress=Egress(allow=(rule,)))))
    guide = (Path(__file__).parents[3] / "docs/guide/security.md").read_text()

    assert rows in guide, f"write into docs/guide/security.md:\n{rows}"


def table(found: list[dict[str, Any]]) -> Iterator[str]:
    """A row for each rule: which pods, which way, with whom, at which ports."""
    yield "| pods of the portfolio | way | with | ports | NetworkPolicy |"
    yield "|---|---|---|---|---|"
    for each in found:
        spec, name = each["spec"], each["metadata"]["name"].removeprefix("desk")
        pods = spec["podSelector"]["matchLabels"].get("folio.dev/role", "all")
        for way, field, peers in (("in", "ingress", "from"), ("out", "egress", "to")):
            for rule in spec.get(field, ()):
                whom = "; ".join(map(described, rule[peers])) if peers in rule else "anybody"
                ports = ", ".join(f"{port['protocol']} {port['port']}" for port in rule.get("ports", ()))
                yield f"| {pods} | {way} | {whom} | {ports or 'all'} | `NAME{name}` |"


def described(peer: Mapping[str, Any]) -> str:
    if "ipBlock" in peer:
        without = " ".join(f"`{cidr}`" for cidr in peer["ipBlock"].get("except", ()))
        return f"`{peer['ipBlock']['cidr']}`" + (f" without {without}" if without else "")
    pods = peer.get("podSelector", {}).get("matchLabels", {})
    if pods == {"folio.dev/portfolio": "desk"}:
        return "pods of the portfolio"
    labels = " ".join(f"`{key}: {value}`" for key, value in pods.items())
    who = f"pods with {labels}" if labels else "pods"
    if "namespaceSelector" not in peer:
        return f"{who} of the portfolio's namespace"
    names = peer["namespaceSelector"].get("matchLabels", {})
    place = f"namespace `{names['kubernetes.io/metadata.name']}`" if names else "any namespace"
    return f"{who} of {place}"

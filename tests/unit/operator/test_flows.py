"""Who may open a connection to a portfolio's pods, by the rules of NetworkPolicies: a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from tests.unit.operator.desk import rendered

from folio_operator.children import Installation
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


def policies(monitoring: str = "") -> list[dict[str, Any]]:
    installation = Installation(monitoring_namespace=monitoring)
    found = rendered(circumstances=Circumstances(installation=installation)).manifests
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
        if each["metadata"]["namespace"] == target.namespace
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


def test_every_policy_says_that_it_is_about_coming_in():
    assert [each["spec"]["policyTypes"] for each in policies()] == [["Ingress"], ["Ingress"]]

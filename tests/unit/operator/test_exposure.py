"""The way in from outside: what is rendered, when it is applied, and whose word counts on whether it works."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.desk import PORTFOLIO, REMOVED, Edits, rendered
from tests.unit.operator.golden import INGRESS, JWT, ROUTE
from tests.unit.operator.shell import DESK, Shell

from folio_operator import cluster as kinds
from folio_operator.children import Installation
from folio_operator.cluster import ApiError
from folio_operator.desired import Circumstances
from folio_operator.exposure import taken

NO_SUCH_KIND = ApiError(404, "the server could not find the requested resource")


def way_in(edits: Edits) -> list[Any]:
    return [each for each in rendered(edits).manifests if each["kind"] in ("HTTPRoute", "Ingress")]


def test_without_expose_there_is_no_way_in():
    assert way_in({}) == []


def test_both_lead_v1_alone_to_the_gateway_s_service():
    (route,), (ingress,) = way_in(ROUTE), way_in(INGRESS)

    (rule,) = route["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/v1"}}]
    assert rule["backendRefs"] == [{"name": "desk", "port": 8000}]
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/v1", "Prefix")
    assert path["backend"] == {"service": {"name": "desk", "port": {"number": 8000}}}


def test_what_is_omitted_is_left_to_the_cluster():
    edits = {
        PORTFOLIO: {
            "gateway.auth": {"jwt": JWT},
            "gateway.expose": {"httpRoute": {"parentRefs": [{"name": "public"}]}},
        }
    }
    (route,) = way_in(edits)
    assert route["spec"]["parentRefs"] == [{"name": "public"}]
    assert "hostnames" not in route["spec"]
    (ingress,) = way_in(
        {PORTFOLIO: {"gateway.auth": {"jwt": JWT}, "gateway.expose": {"ingress": {"host": "a.example"}}}}
    )
    assert set(ingress["spec"]) == {"rules"}


async def test_a_way_in_is_made_and_taken_away_again(settled: Shell):
    settled.write(ROUTE)
    await settled.pass_over()
    assert settled.cluster.names(kinds.HTTP_ROUTE) == {"desk"}
    assert settled.condition("Exposed") == ("Unknown", "NotClaimed")

    settled.write(INGRESS)
    await settled.pass_over()
    assert settled.cluster.names(kinds.HTTP_ROUTE) == set()
    assert settled.cluster.names(kinds.INGRESS) == {"desk"}

    settled.write()
    await settled.pass_over()
    assert settled.cluster.names(kinds.INGRESS) == set()
    assert settled.condition("Exposed") == ("", "")


async def test_a_way_in_that_is_taken_is_said_though_nothing_else_changed(settled: Shell):
    settled.write(ROUTE)
    await settled.pass_over()
    settled.gateway_says(settled.wanted_revision())
    await settled.pass_over()
    assert settled.condition("Exposed") == ("Unknown", "NotClaimed")

    parents = settled.cluster.one(kinds.HTTP_ROUTE, "desk")["spec"]["parentRefs"]
    accepted = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}
    told = [{"parentRef": each, "conditions": [accepted]} for each in parents]
    settled.cluster.edit(kinds.HTTP_ROUTE, DESK, "status", {"parents": told})
    await settled.pass_over()
    assert settled.condition("Exposed") == ("True", "Attached")


async def test_a_pass_that_changes_nothing_writes_nothing(settled: Shell):
    settled.write(ROUTE)
    await settled.pass_over()
    settled.gateway_says(settled.wanted_revision())
    await settled.pass_over()
    settled.cluster.writes.clear()
    settled.cluster.reads.clear()
    await settled.pass_over()
    assert (settled.cluster.writes, settled.cluster.reads) == ([], [])


async def test_a_way_in_that_somebody_changed_is_put_right(settled: Shell):
    settled.write(ROUTE)
    await settled.pass_over()
    settled.cluster.edit(kinds.HTTP_ROUTE, DESK, "spec.hostnames", ["evil.example"])
    await settled.pass_over()
    assert settled.cluster.one(kinds.HTTP_ROUTE, "desk")["spec"]["hostnames"] == ["llm.acme.dev"]


async def test_without_the_gateway_api_all_else_goes_on_and_the_condition_names_the_fix(settled: Shell):
    settled.cluster.refused["apply", "HTTPRoute"] = NO_SUCH_KIND
    settled.write(ROUTE)
    await settled.pass_over()
    settled.gateway_says(settled.wanted_revision())
    await settled.pass_over()

    assert settled.condition("Exposed") == ("False", "GatewayAPIAbsent")
    assert "write gateway.expose.ingress" in settled.message("Exposed")
    assert settled.condition("Programmed") == ("True", "Confirmed")
    assert settled.condition("Stalled") == ("", "")
    assert len(settled.cluster.names(kinds.NETWORK_POLICY)) == 4

    settled.cluster.reads.clear()
    await settled.pass_over()
    assert settled.cluster.reads == [], "it was asked a moment ago"
    del settled.cluster.refused["apply", "HTTPRoute"]
    settled.clock.seconds += 61
    await settled.pass_over()
    assert settled.condition("Exposed") == ("Unknown", "NotClaimed")


async def test_somebody_else_s_ingress_is_not_taken(settled: Shell):
    foreign = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": {"mine": True}}
    settled.cluster.add({**foreign, "metadata": {"name": "desk", "namespace": "bank"}})
    settled.write(INGRESS)
    await settled.pass_over()

    assert settled.condition("Exposed") == ("False", "NameConflict")
    assert settled.cluster.one(kinds.INGRESS, "desk")["spec"] == {"mine": True}


def route(*parents: dict[str, Any]) -> dict[str, Any]:
    spec = {"parentRefs": [{"name": "public"}, {"name": "inner"}]}
    return {"kind": "HTTPRoute", "metadata": {"generation": 2}, "spec": spec, "status": {"parents": parents}}


def says(name: str, status: str, generation: int = 2, kind: str = "Accepted") -> dict[str, Any]:
    condition = {"type": kind, "status": status, "reason": "NotAllowedByListeners", "message": "no namespace"}
    return {"parentRef": {"name": name}, "conditions": [{**condition, "observedGeneration": generation}]}


@pytest.mark.parametrize(
    ("stored", "status", "reason"),
    [
        (route(), "Unknown", "NotClaimed"),
        (route(says("public", "True")), "Unknown", "NotClaimed"),
        (route(says("public", "True"), says("inner", "True")), "True", "Attached"),
        (route(says("public", "True"), says("inner", "False")), "False", "NotAttached"),
        (route(says("public", "True"), says("inner", "False", 1)), "True", "Attached"),
        (route(says("public", "False", kind="ResolvedRefs")), "False", "NotAttached"),
        ({"kind": "Ingress"}, "Unknown", "NotClaimed"),
        ({"kind": "Ingress", "status": {"loadBalancer": {}}}, "Unknown", "NotClaimed"),
        (
            {"kind": "Ingress", "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}},
            "True",
            "Attached",
        ),
    ],
)
def test_only_who_leads_clients_in_can_say_that_it_does(stored: Any, status: str, reason: str):
    found = taken(stored)
    assert (found.status, found.reason) == (status, reason)
    if status == "False":
        assert "does not take the HTTPRoute: NotAllowedByListeners: no namespace" in found.message


def monitors(edits: Edits, namespace: str = "monitoring") -> dict[str, Any]:
    installation = Installation(monitoring_namespace=namespace)
    found = rendered(edits, Circumstances(installation=installation)).manifests
    return {each["metadata"]["name"]: each["spec"] for each in found if each["kind"] == "PodMonitor"}


def test_metrics_are_read_where_the_installation_names_who_reads_them():
    one_gateway = {PORTFOLIO: {"gateway.minReplicas": 1, "gateway.maxReplicas": REMOVED}}

    assert monitors({}, namespace="") == {}
    assert set(monitors({})) == {"desk-ray"}
    found = monitors(one_gateway)
    assert [each["portNumber"] for each in found["desk-ray"]["podMetricsEndpoints"]] == [8080]
    assert found["desk-gateway"]["selector"]["matchLabels"]["folio.dev/role"] == "gateway"
    assert [each["portNumber"] for each in found["desk-gateway"]["podMetricsEndpoints"]] == [8000]


async def test_a_cluster_without_pod_monitors_is_no_trouble(settled: Shell):
    settled.upgrade(Installation(monitoring_namespace="monitoring"))
    settled.cluster.refused["apply", "PodMonitor"] = NO_SUCH_KIND
    for _ in range(3):  # the last one comes to rest
        await settled.pass_over()

    assert settled.condition("Exposed") == ("", "")
    assert settled.condition("Programmed") == ("True", "Confirmed")
    settled.cluster.refused.clear()
    settled.clock.seconds += 61
    await settled.pass_over()
    assert settled.cluster.names(kinds.POD_MONITOR) == {"desk-ray"}
    settled.upgrade(Installation())
    await settled.pass_over()
    assert settled.cluster.names(kinds.POD_MONITOR) == set()


async def test_a_pod_monitor_that_is_refused_is_logged_and_is_no_trouble(
    settled: Shell, caplog: pytest.LogCaptureFixture
):
    settled.upgrade(Installation(monitoring_namespace="monitoring"))
    settled.cluster.refused["apply", "PodMonitor"] = ApiError(403, "not yours", "PATCH")
    await settled.pass_over()

    assert settled.condition("Programmed") == ("True", "Confirmed")
    assert "is left out: PATCH: not yours" in caplog.text


async def test_an_installation_that_says_nothing_more_of_egress_takes_its_policies_away_and_leaves_ray_alone(
    settled: Shell,
):
    settled.upgrade(Installation(egress=None))
    await settled.pass_over()

    assert settled.cluster.names(kinds.NETWORK_POLICY) == {"desk-gateway", "desk-ray"}
    assert sorted(settled.cluster.writes) == [
        "delete NetworkPolicy/desk-egress",
        "delete NetworkPolicy/desk-head",
    ]

"""The adapter to the API server, against a server of localhost that answers as one would."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio import client

from folio_api.meta import Key
from folio_operator.cluster import POLICY, RAY_SERVICE, SECRET, ApiError, Trace
from folio_operator.gateways import HttpGateways
from folio_operator.kube import KubeCluster

DESK = Key("bank", "desk")
SERVICE = {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "desk", "namespace": "bank"}}


@dataclass
class Request:
    verb: str
    path: str
    query: dict[str, str]
    content_type: str
    accept: str
    body: Any


@dataclass
class ApiServer:
    """Answers every request with the next answer, and notes it."""

    url: str = ""
    answers: list[tuple[int, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        body = json.loads(text) if text else None
        kinds = (request.headers.get(each, "") for each in ("content-type", "accept"))
        self.requests.append(Request(request.method, request.path, dict(request.query), *kinds, body))
        status, answer = self.answers.pop(0)
        return web.json_response(answer, status=status)


@pytest.fixture
async def server(unused_tcp_port_factory: Callable[[], int]) -> AsyncIterator[ApiServer]:
    one = ApiServer()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", one.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    port = unused_tcp_port_factory()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    one.url = f"http://127.0.0.1:{port}"
    yield one
    await runner.cleanup()


@pytest.fixture
async def counted() -> list[tuple[str, str, int]]:
    return []


@pytest.fixture
async def cluster(server: ApiServer, counted: list[tuple[str, str, int]]) -> AsyncIterator[KubeCluster]:
    settings = client.Configuration(host=server.url)
    async with client.ApiClient(settings) as api:
        yield KubeCluster(api, (), lambda *request: counted.append(request))


async def test_an_apply_is_one_forced_strict_patch_by_one_manager(server: ApiServer, cluster: KubeCluster):
    server.answers = [(200, {**SERVICE, "spec": {}}), (200, SERVICE)]
    assert (await cluster.apply(SERVICE))["spec"] == {}
    await cluster.apply(SERVICE, subresource="status")

    first, second = server.requests
    assert (first.verb, first.path) == ("PATCH", "/apis/ray.io/v1/namespaces/bank/rayservices/desk")
    assert first.query == {"fieldManager": "folio", "force": "true", "fieldValidation": "Strict"}
    assert first.content_type == "application/apply-patch+yaml"
    assert first.body == SERVICE
    assert second.path.endswith("/rayservices/desk/status")


async def test_core_objects_are_under_api(server: ApiServer, cluster: KubeCluster):
    server.answers = [(404, {"message": "secrets desk not found"})]
    assert await cluster.get(SECRET, DESK) is None
    assert server.requests[0].path == "/api/v1/namespaces/bank/secrets/desk"


async def test_a_list_of_nothing_may_be_null(server: ApiServer, cluster: KubeCluster):
    server.answers = [(200, {"items": None, "metadata": {}})]

    assert await cluster.traces(POLICY) == []


async def test_a_list_follows_its_pages_and_names_its_kind(server: ApiServer, cluster: KubeCluster):
    server.answers = [
        (200, {"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "next"}}),
        (200, {"items": [{"metadata": {"name": "b"}}], "metadata": {}}),
    ]
    found = await cluster.list(POLICY)
    assert [(each["kind"], each["metadata"]["name"]) for each in found] == [
        ("RoutingPolicy", "a"),
        ("RoutingPolicy", "b"),
    ]
    assert server.requests[1].query["continue"] == "next"


async def test_traces_are_asked_for_as_metadata_alone(server: ApiServer, cluster: KubeCluster):
    metadata = {"name": "a", "namespace": "bank", "uid": "7d2c", "resourceVersion": "12"}
    server.answers = [(200, {"items": [{"metadata": metadata}], "metadata": {}})]
    assert await cluster.traces(POLICY) == [Trace(Key("bank", "a"), "7d2c", 12)]
    assert "as=PartialObjectMetadataList" in server.requests[0].accept


async def test_a_confined_operator_lists_its_namespaces_one_by_one(server: ApiServer):
    page = {"items": [{"metadata": {"name": "desk"}}], "metadata": {}}
    server.answers = [(200, page), (200, page)]
    async with client.ApiClient(client.Configuration(host=server.url)) as api:
        found = await KubeCluster(api, ("bank", "shop")).list(POLICY)
    assert len(found) == 2
    assert [each.path for each in server.requests] == [
        "/apis/folio.dev/v1alpha1/namespaces/bank/routingpolicies",
        "/apis/folio.dev/v1alpha1/namespaces/shop/routingpolicies",
    ]


async def test_a_json_patch_is_sent_as_one(server: ApiServer, cluster: KubeCluster):
    server.answers = [(200, SERVICE)]
    operations = [{"op": "test", "path": "/spec/x", "value": 1}]
    await cluster.patch(RAY_SERVICE, DESK, operations)
    assert server.requests[0].content_type == "application/json-patch+json"
    assert server.requests[0].body == operations


async def test_a_deletion_is_of_this_very_object_and_an_absent_one_is_fine(
    server: ApiServer, cluster: KubeCluster
):
    server.answers = [(200, {}), (404, {"message": "not found"}), (409, {"message": "the uid differs"})]
    await cluster.delete(RAY_SERVICE, DESK, "7")
    assert server.requests[0].body["preconditions"] == {"uid": "7"}
    await cluster.delete(RAY_SERVICE, DESK, "7")
    with pytest.raises(ApiError, match="the uid differs"):
        await cluster.delete(RAY_SERVICE, DESK, "7")


async def test_a_refusal_carries_the_servers_message(
    server: ApiServer, cluster: KubeCluster, counted: list[tuple[str, str, int]]
):
    server.answers = [(422, {"kind": "Status", "message": "spec.x: Invalid value"}), (503, "overloaded")]
    with pytest.raises(ApiError, match=r"spec\.x: Invalid value") as refused:
        await cluster.apply(SERVICE)
    assert (refused.value.status, refused.value.passes_by_itself) == (422, False)
    with pytest.raises(ApiError) as busy:
        await cluster.apply(SERVICE)
    assert busy.value.passes_by_itself
    assert counted == [("PATCH", "rayservices", 422), ("PATCH", "rayservices", 503)]


async def test_a_server_that_is_not_there_is_trouble_that_passes(unused_tcp_port_factory):
    settings = client.Configuration(host=f"http://127.0.0.1:{unused_tcp_port_factory()}")
    async with client.ApiClient(settings) as api:
        with pytest.raises(ApiError) as nobody:
            await KubeCluster(api).apply(SERVICE)
    assert (nobody.value.status, nobody.value.passes_by_itself) == (0, True)


async def test_a_gateway_is_asked_with_its_token_and_may_be_silent(server: ApiServer):
    gateways = HttpGateways(server.url + "/{namespace}/{name}")
    state = {"replicas": [{"replica": "a", "revision": "5f0c"}]}
    server.answers = [(200, state), (404, {}), (200, {"unheard": "of"})]
    found = await gateways.state(DESK, "sesam")
    assert found is not None
    assert found.replicas[0].revision == "5f0c"
    assert server.requests[0].path == "/bank/desk/internal/state"
    assert await gateways.state(DESK, "wrong") is None
    assert await gateways.state(DESK, "sesam") is None
    await gateways.close()
    gone = HttpGateways("http://127.0.0.1:1/{namespace}/{name}")
    assert await gone.state(DESK, "sesam") is None
    await gone.close()

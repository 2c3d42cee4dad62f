"""Nobody but the gateway reaches a model: asked on every port that its processes listen on, and on the public one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from tests.data_plane.vllm.conftest import APPLICATION, Model, question

PATHS = ("/", "/v1/models", "/metrics", "/health", "/docs", "/openapi.json", "/version", "/tokenize", "/load")


def listening_ports(model: Model) -> list[int]:
    replicas = [psutil.Process(pid) for pid in model.cluster.replica_pids(APPLICATION)]
    processes = [each for replica in replicas for each in (replica, *replica.children(recursive=True))]
    listening = (
        c for each in processes for c in each.net_connections("tcp") if c.status == psutil.CONN_LISTEN
    )
    return sorted({connection.laddr.port for connection in listening})


def listed_models(port: int) -> tuple[int, bytes] | None:
    """Return what a port answers without the token; None when it does not speak HTTP at all (gRPC, ZeroMQ)."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/v1/models", timeout=5)
    except httpx.HTTPError:
        return None
    return answer.status_code, answer.content


@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_without_the_token_every_path_of_the_replica_is_a_bare_404(model: Model, token: str | None) -> None:
    headers = {} if token is None else {"x-folio-token": token}
    for path in PATHS:
        answer = httpx.get(f"{model.url}{path}", headers=headers)
        assert (answer.status_code, answer.content) == (404, b""), path
    chat = httpx.post(f"{model.url}/v1/chat/completions", json=question(), headers=headers)
    assert (chat.status_code, chat.content) == (404, b"")


def test_no_other_port_of_the_models_processes_answers_http(model: Model) -> None:
    ports = listening_ports(model)
    assert ports, "the replica itself listens"
    with ThreadPoolExecutor(len(ports)) as pool:
        answers = dict(zip(ports, pool.map(listed_models, ports), strict=True))
    assert {port: answer for port, answer in answers.items() if answer not in (None, (404, b""))} == {}


def test_the_public_port_does_not_know_the_model(model: Model) -> None:
    for path in PATHS:
        answer = httpx.get(f"{model.cluster.serve_url}{path}", headers=model.cluster.token_header)
        assert answer.status_code in {404, 503}, path
        assert "tiny" not in answer.text


def test_serves_own_paths_tell_no_more_than_the_applications_name(model: Model) -> None:
    assert httpx.get(f"{model.url}/-/healthz").text == "success"
    assert httpx.get(f"{model.url}/-/routes").json() == {"null": APPLICATION}

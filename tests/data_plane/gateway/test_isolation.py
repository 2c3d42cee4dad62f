"""Nobody but the gateway reaches a model: not on the public port, not on a replica's own, not with a wrong token."""

from __future__ import annotations

import httpx
import psutil
import pytest
from tests.data_plane.gateway.conftest import Served

PATHS = (
    "/",
    "/v1/chat/completions",
    "/v1/models",
    "/v1/embeddings",
    "/stats",
    "/metrics",
    "/docs",
    "/health",
)
BODY = {"model": "fast", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("application", ["model-fast", "model-triage"])
@pytest.mark.parametrize("token", [{}, {"x-folio-token": "wrong"}, {"x-folio-token": ""}])
def test_every_port_of_a_model_is_silent_without_the_token(
    served: Served, application: str, token: dict[str, str]
) -> None:
    for port in http_ports(served, application):
        for path in PATHS:
            for method in ("GET", "POST"):
                answer = httpx.request(
                    method, f"http://127.0.0.1:{port}{path}", json=BODY, headers=token, timeout=10
                )
                assert (answer.status_code, answer.content) == (404, b""), (port, method, path)


def test_the_public_port_knows_no_model_application(served: Served) -> None:
    for path in ("/model-fast", "/model-fast/v1/models", "/fast/v1/models", "/Model", "/stats"):
        answer = served.client.get(path, headers=served.cluster.token_header)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "unknown_url"


def http_ports(served: Served, application: str) -> list[int]:
    """Return every port of the application's processes that speaks HTTP, whatever it is for."""
    ports = {
        one.laddr.port
        for pid in served.cluster.replica_pids(application)
        for one in psutil.Process(pid).net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    }
    found = [port for port in sorted(ports) if speaks_http(port)]
    assert found
    return found


def speaks_http(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=3)
    except httpx.HTTPError:
        return False
    return True

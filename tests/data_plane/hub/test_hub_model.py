"""A model of a hub, which is a stand-in on this machine: its files really come by HTTP, and the gateway tells how far
they are before Serve knows of a replica.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.data_plane.cluster import Cluster, gateway
from tests.data_plane.tiny import make_model
from tests.data_plane.vllm.conftest import application, question, spec
from tests.integration.hub import Hub, running

from folio_api.table import GatewayConfig, Model, Rung, Table

REPOSITORY = "acme/tiny"
TABLE = Table(
    portfolio="test",
    models=(Model(name="tiny", engine="vllm", application="model-hub", identity="0"),),
    default_ladder=(Rung(model="tiny"),),
).with_revision()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = make_model(tmp_path_factory.mktemp("hub") / "tiny")
    with running(Hub(REPOSITORY, folder, held=frozenset({"model.safetensors"}))) as served:
        yield served


@pytest.fixture
def fetching(cluster: Cluster, hub: Hub, tmp_path: Path) -> Iterator[Cluster]:
    model = application(spec(source={"uri": f"hf://{REPOSITORY}"}, lora=None), name="model-hub")
    home = {"env_vars": {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)}}
    cluster.deploy(gateway(GatewayConfig(active=TABLE)), {**model, "runtime_env": home})
    cluster.wait("gateway")
    yield cluster
    cluster.deploy()


def told(cluster: Cluster) -> dict[str, Any]:
    answer = httpx.get(f"{cluster.serve_url}/internal/state", headers=cluster.token_header, timeout=30)
    models = answer.json()["models"] if answer.status_code == 200 else []
    return {**models[0], "seconds": answer.elapsed.total_seconds()} if models else {"state": ""}


def until(cluster: Cluster, *states: str, seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (found := told(cluster))["state"] not in states:
        assert cluster.applications().get("model-hub", {}).get("status") != "DEPLOY_FAILED", found
        assert time.monotonic() < deadline, (found, cluster.applications().get("model-hub"))
        time.sleep(0.2)
    return found


def test_a_model_says_downloading_until_its_files_are_here_and_then_answers(
    fetching: Cluster, hub: Hub
) -> None:
    found = until(fetching, "Downloading", "Ready", "Failed", seconds=200)
    assert (found["state"], found["reason"], found["replicas"]) == ("Downloading", "Downloading", 0)
    assert found["message"].endswith(f" kB of hf://{REPOSITORY} are here")
    assert fetching.applications()["model-hub"]["status"] == "DEPLOYING"

    time.sleep(3)
    later = told(fetching)  # the weights are held half: neither all is here, nor nothing
    done, total = (float(word) for word in later["message"].split(" kB")[0].split(" of "))
    assert 0 < done < total
    assert later["seconds"] < 1

    hub.released.set()
    until(fetching, "Pending", "Loading", "Ready", seconds=30)
    until(fetching, "Ready", seconds=300)
    assert hub.sent.count("model.safetensors") == 1  # the engine found what was fetched ahead
    answer = httpx.post(f"{fetching.serve_url}/v1/chat/completions", json=question(), timeout=60)
    assert (answer.status_code, answer.headers["x-folio-model"]) == (200, "tiny")

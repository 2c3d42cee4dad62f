"""The real MiniLM, an index of the test documents, and one replica of each light engine on the session's cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from tests.data_plane.cluster import Cluster
from tests.heads import word_head

from folio_serving.classify.export import export, installed_weights
from folio_serving.classify.ngram import Head, save_head
from folio_serving.retrieve.index import build_index

ROOT = Path(__file__).parents[3]
CORPUS = ROOT / "tests" / "unit" / "retriever" / "corpus"


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The exported embedder; kept between runs, since the export takes ten seconds and changes nothing."""
    target = ROOT / ".folio" / "tests" / "minilm"
    export(target, installed_weights())
    return target


@pytest.fixture(scope="session")
def harbour_index(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("index") / "harbour"
    build_index(CORPUS / "harbour", target, minilm)
    return target


def triage_head() -> Head:
    return word_head({"bicycle": "rental", "invoice": "billing"})


def application(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "name": f"model-{name}",
        "route_prefix": None,
        "import_path": "folio_serving.app:model",
        "args": {"name": name, "identity": "0", "cpus": 0.2, **spec},
        "deployments": [
            {
                "name": "Model",
                "autoscaling_config": {"min_replicas": 1, "max_replicas": 1},
                "max_ongoing_requests": 64,
                "user_config": {"adapters": []},
            }
        ],
    }


def retriever_application(
    name: str, *, index: str = "harbour", embedder: str = "model-minilm"
) -> dict[str, Any]:
    return application(
        name,
        engine="retriever",
        tasks=["Chat"],
        retriever={"lancedb_uri": f"volume://models/{index}", "embedder_application": embedder},
    )


@dataclass(frozen=True)
class Light:
    """The running engines, each at its replica's own port, as the gateway sees them."""

    cluster: Cluster

    def url(self, name: str) -> str:
        (url,) = self.cluster.replica_urls(f"model-{name}")
        return url

    def client(self, name: str) -> openai.OpenAI:
        headers = self.cluster.token_header
        return openai.OpenAI(
            base_url=f"{self.url(name)}/v1", api_key="none", default_headers=headers, max_retries=0
        )

    def post(self, name: str, path: str, body: Any, **headers: str) -> httpx.Response:
        return httpx.post(
            f"{self.url(name)}{path}", json=body, headers={**self.cluster.token_header, **headers}, timeout=30
        )

    def chat(self, name: str, text: str, **headers: str) -> httpx.Response:
        body = {"model": name, "messages": [{"role": "user", "content": text}]}
        return self.post(name, "/v1/chat/completions", body, **headers)


@pytest.fixture(scope="package")
def light(cluster: Cluster, minilm: Path, harbour_index: Path) -> Iterator[Light]:
    models = cluster.volumes / "models"
    models.mkdir(exist_ok=True)
    (models / "minilm").symlink_to(minilm)
    (models / "harbour").symlink_to(harbour_index)
    save_head(triage_head(), models / "triage" / "head.npz")
    encoder = {"engine": "encoder"}
    cluster.deploy(
        application(
            "triage",
            **encoder,
            tasks=["Classification"],
            encoder={"type": "NGram"},
            source={"uri": "volume://models/triage"},
        ),
        application(
            "minilm",
            **encoder,
            tasks=["Embedding"],
            encoder={"type": "MiniLM"},
            source={"uri": "volume://models/minilm"},
        ),
        retriever_application("handbook"),
        retriever_application("orphan", embedder="model-nobody"),
    )
    for name in ("triage", "minilm", "handbook", "orphan"):
        cluster.wait(f"model-{name}")
    yield Light(cluster)
    cluster.deploy()

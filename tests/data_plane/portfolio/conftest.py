"""One whole portfolio: rendered as the control plane renders it, served by the real gateway and real engines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from tests.data_plane.cluster import Cluster
from tests.data_plane.light.conftest import triage_head
from tests.data_plane.tiny import make_adapter, make_model

from folio_api.load import Text, load
from folio_operator import checks, site
from folio_operator.desired import Circumstances, desired
from folio_operator.world import Portfolio, gather
from folio_serving.classify.export import export, installed_weights
from folio_serving.classify.ngram import Head, save_head

START_SECONDS = 400
"""Of an engine on a busy machine; some 40 on an idle one."""
MINILM = Path(__file__).parents[3] / ".folio" / "tests" / "minilm"
LABELS = {"first": ("rental", "billing"), "second": ("bicycles", "bills")}
"""What the versions of an encoder say to `bicycle` and to `invoice`."""

RESOURCES = """
apiVersion: folio.dev/v1alpha1
kind: SpecialistModel
metadata: {{name: sorter}}
spec:
  encoder: {{type: NGram, source: {{uri: volume://portfolio/first}}}}
---
apiVersion: folio.dev/v1alpha1
kind: SpecialistModel
metadata: {{name: spare}}
spec:
  encoder: {{type: NGram, source: {{uri: volume://portfolio/{spare}}}}}
---
apiVersion: folio.dev/v1alpha1
kind: SpecialistModel
metadata: {{name: vectors}}
spec:
  encoder: {{type: MiniLM, source: {{uri: volume://portfolio/minilm}}}}
  tasks: [Embedding]
---
apiVersion: folio.dev/v1alpha1
kind: SpecialistModel
metadata: {{name: writer}}
spec:
  vllm:
    source: {{uri: volume://portfolio/tiny}}
    engineArgs:
      enforce_eager: true
      max_model_len: 2048
      max_num_seqs: 4
      kv_cache_memory_bytes: 67108864
      enable_auto_tool_choice: true
      tool_call_parser: hermes
    resources: {{cpu: 500m, memory: 2Gi}}
    lora: {{maxAdapters: 1, maxRank: 4}}
  features: [Tools, Logprobs, JSONSchema]
---
apiVersion: folio.dev/v1alpha1
kind: SpecialistModel
metadata: {{name: legal}}
spec:
  adapter: {{baseRef: {{name: writer}}, source: {{uri: volume://portfolio/legal}}, rank: 4}}
---
apiVersion: folio.dev/v1alpha1
kind: RoutingPolicy
metadata: {{name: desk}}
spec:
  intents:
  - name: sort
    matchAny: {{keywords: [sort]}}
    ladder: [{{model: sorter, accept: {{signal: Always}}}}, {{model: spare}}]
  - name: write
    matchAny: {{keywords: [write]}}
    ladder: [{{model: writer, accept: {{signal: Always}}}}, {{model: spare}}]
  defaultLadder:
  - {{model: sorter, accept: {{signal: Score, atLeast: "0.60"}}}}
  - {{model: writer, accept: {{signal: Always}}}}
  - {{model: legal, accept: {{signal: Always}}}}
  - {{model: spare}}
---
apiVersion: folio.dev/v1alpha1
kind: ModelPortfolio
metadata: {{name: desk}}
spec:
  policyRef: {{name: desk}}
  models:
  - {{name: sorter}}
  - {{name: spare, updateStrategy: {{type: RollingUpdate, maxSurgePercent: 100}}}}
  - {{name: vectors}}
  - {{name: writer, pool: cpu}}
  - {{name: legal, pool: cpu}}
  pools:
  - name: cpu
    maxWorkers: 1
    resources: {{limits: {{cpu: "2", memory: 8Gi}}}}
    volumes: [{{name: portfolio, claimName: portfolio, purpose: Source}}]
    pricePerHour: "0.10"
  gateway:
    minReplicas: 1
    maxReplicas: 1
    volumes: [{{name: portfolio, claimName: portfolio, purpose: Source}}]
"""
SLEEPER = """---
apiVersion: folio.dev/v1alpha1
kind: SpecialistModel
metadata: {name: sleeper}
spec:
  vllm:
    source: {uri: volume://portfolio/tiny}
    engineArgs: {enforce_eager: true, max_model_len: 2048, max_num_seqs: 4, kv_cache_memory_bytes: 67108864}
    resources: {cpu: 500m, memory: 2Gi}
"""
SLEEPS = "  - {name: sleeper, pool: cpu, scaling: {minReplicas: 0}}\n"
DOZE = """  - name: doze
    matchAny: {keywords: [doze]}
    ladder: [{model: sleeper, accept: {signal: Always}}, {model: writer}]
"""
MODELS = ("sorter", "spare", "vectors", "writer", "legal")


@dataclass(frozen=True)
class Running:
    """The portfolio as its clients and its operator see it."""

    cluster: Cluster

    @property
    def base_url(self) -> str:
        return f"{self.cluster.serve_url}/v1"

    @property
    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.base_url, api_key="none", max_retries=0, timeout=120)

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.cluster.serve_url, timeout=120)

    def apply(self, *, spare: str = "first", with_sleeper: bool = False) -> str:
        """Make this version of the spare model desired, and the rest as it is; returns the revision."""
        found = desired(
            portfolio_of(spare, with_sleeper=with_sleeper),
            Circumstances(site=site.local(self.cluster.serve_port)),
        )
        self.cluster.deploy(*found.serve_config["applications"])
        return found.table.revision

    def state(self) -> dict[str, Any]:
        answer = httpx.get(
            f"{self.cluster.serve_url}/internal/state", headers=self.cluster.token_header, timeout=30
        )
        return dict(answer.json()) if answer.status_code == 200 else {"replicas": [], "models": []}

    def wait(self, revision: str, *ready: str, seconds: float) -> None:
        """Return once every gateway replica runs on the revision and the models are ready."""
        deadline = time.monotonic() + seconds
        while True:
            state = self.state()
            revisions = {one["revision"] for one in state["replicas"]}
            states = {one["name"]: one["state"] for one in state["models"]}
            if revisions == {revision} and all(states.get(name) == "Ready" for name in ready):
                return
            assert time.monotonic() < deadline, f"{revision} with {ready} was not reached: {state}"
            time.sleep(0.2)

    def wait_for_another(self, model: str, *gone: int, seconds: float = START_SECONDS) -> None:
        """Return once the model's replicas are others than these processes."""
        deadline = time.monotonic() + seconds
        while not (pids := self.cluster.replica_pids(f"model-{model}")) or set(pids) & set(gone):
            assert time.monotonic() < deadline, f"{model} has still no replica but {pids}"
            time.sleep(0.3)

    def broken_streams(self, model: str) -> float:
        """Return how many streams of the model the gateway's metrics say broke."""
        text = httpx.get(f"{self.cluster.serve_url}/metrics", timeout=30).text
        start = f'folio_broken_streams_total{{rung="{model}"}} '
        return sum(float(line.removeprefix(start)) for line in text.splitlines() if line.startswith(start))


def portfolio_of(spare: str, *, with_sleeper: bool = False) -> Portfolio:
    text = RESOURCES.format(spare=spare)
    if with_sleeper:
        text = text.replace("  models:\n", f"  models:\n{SLEEPS}").replace(
            "  intents:\n", f"  intents:\n{DOZE}"
        )
        text += SLEEPER
    loaded = load([Text("portfolio.yaml", text)])
    assert loaded.errors == ()
    (resource,) = loaded.portfolios.values()
    portfolio = gather(resource, loaded.policies.values(), loaded.models.values())
    assert list(checks.failures(portfolio)) == []
    return portfolio


def write_files(volume: Path) -> None:
    volume.mkdir()
    for version, labels in LABELS.items():
        known = triage_head()
        save_head(Head(known.weights, known.bias, labels, known.meta), volume / version / "head.npz")
    export(MINILM, installed_weights())
    (volume / "minilm").symlink_to(MINILM)
    make_model(volume / "tiny")
    make_adapter(volume / "legal")


@pytest.fixture(scope="package")
def portfolio(cluster: Cluster) -> Iterator[Running]:
    write_files(cluster.volumes / "portfolio")
    running = Running(cluster)
    revision = running.apply()
    for application in ("gateway", "model-sorter", "model-spare", "model-vectors", "model-writer"):
        cluster.wait(application, seconds=START_SECONDS)
    running.wait(revision, *MODELS, seconds=START_SECONDS)
    yield running
    cluster.deploy()

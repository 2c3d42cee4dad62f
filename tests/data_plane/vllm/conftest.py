"""One tiny model with room for adapters on a real engine, for all tests of this folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.data_plane.cluster import Cluster
from tests.data_plane.tiny import make_adapter, make_model

APPLICATION, WRONG_ARGUMENT, MISSING_PATH = "model-tiny", "model-wrong-argument", "model-missing-path"
ENGINE_ARGS: dict[str, Any] = {
    "max_model_len": 2048,
    "max_num_seqs": 4,
    "kv_cache_memory_bytes": 64 * 1024**2,
    "enable_auto_tool_choice": True,
    "tool_call_parser": "hermes",
}


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "name": "tiny",
        "engine": "vllm",
        "identity": "0",
        "source": {"uri": "volume://models/tiny"},
        "engine_args": ENGINE_ARGS,
        "lora": {"max_adapters": 2, "max_rank": 4},
        **changes,
    }


def application(
    args: dict[str, Any], *, name: str = APPLICATION, adapters: tuple[str, ...] = ()
) -> dict[str, Any]:
    config = [
        {"name": each, "source": {"uri": f"volume://models/{each}"}, "rank": 4, "identity": f"{each}-1"}
        for each in adapters
    ]
    return {
        "name": name,
        "route_prefix": None,
        "import_path": "tests.data_plane.apps:vllm_model",
        "args": args,
        "deployments": [
            {
                "name": "Model",
                "autoscaling_config": {"min_replicas": 1, "max_replicas": 1},
                "max_ongoing_requests": 16,
                "user_config": {"adapters": config},
            }
        ],
    }


@dataclass(frozen=True)
class Model:
    """The running model, as the gateway sees it."""

    cluster: Cluster

    @property
    def url(self) -> str:
        (url,) = self.cluster.replica_urls(APPLICATION)
        return url

    def ask(
        self, path: str = "/v1/chat/completions", *, signals: str | None = None, **body: Any
    ) -> httpx.Response:
        asked = question(**body)
        headers = {**self.cluster.token_header, "x-folio-model": asked["model"]}
        headers |= {"x-folio-signals": signals} if signals else {}
        return httpx.post(f"{self.url}{path}", json=asked, headers=headers, timeout=60)

    def deploy(self, *adapters: str) -> None:
        """Make these the adapters, beside two models that cannot start: none of them may disturb another."""
        wrong = spec(engine_args={**ENGINE_ARGS, "max_modl_len": 9})
        missing = spec(source={"uri": "volume://models/gone"})
        self.cluster.deploy(
            application(spec(), adapters=adapters),
            application(wrong, name=WRONG_ARGUMENT),
            application(missing, name=MISSING_PATH),
        )


def question(**changes: Any) -> dict[str, Any]:
    body = {"model": "tiny", "max_tokens": 8, "temperature": 0, "seed": 1, **changes}
    if "prompt" not in body:
        body.setdefault("messages", [{"role": "user", "content": "Ask the smallest model first"}])
    return body


@pytest.fixture(scope="session")
def models(cluster: Cluster) -> Cluster:
    make_model(cluster.volumes / "models" / "tiny")
    make_adapter(cluster.volumes / "models" / "legal", seed=1)
    make_adapter(cluster.volumes / "models" / "medical", seed=2)
    return cluster


@pytest.fixture(scope="session")
def model(models: Cluster) -> Iterator[Model]:
    running = Model(models)
    running.deploy()
    models.wait(APPLICATION, seconds=400)  # some 40 s on an idle machine of two cores
    yield running
    models.deploy()


@pytest.fixture
def adapted(model: Model) -> Model:
    model.deploy("legal")
    until(lambda: model.ask(model="legal").status_code == 200)
    return model


def until(reached: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


def text(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])

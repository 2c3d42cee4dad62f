"""A portfolio of light models: an n-gram head that knows two words, and a provider's stub above it.

The head travels in a ConfigMap, so that it needs no volume that only one cluster has.
"""

from __future__ import annotations

import base64
from typing import Any

from tests.heads import word_head

HEAD_IN = "/heads/triage"
HEAD = {"requests": {"cpu": "200m", "memory": "1Gi"}, "limits": {"memory": "3Gi"}}
GATEWAY = {"requests": {"cpu": "200m", "memory": "768Mi"}, "limits": {"memory": "2Gi"}}
Document = dict[str, Any]


def resource(kind: str, name: str, spec: Any) -> Document:
    return {"apiVersion": "folio.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def head() -> Document:
    """Return the ConfigMap with the head: "bicycle" is rental, "invoice" billing, and it is sure of both."""
    content = base64.b64encode(word_head({"bicycle": "rental", "invoice": "billing"}).to_bytes()).decode()
    metadata = {"name": "triage-head"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "binaryData": {"head.npz": content},
    }


def triage(name: str = "triage") -> Document:
    encoder = {"type": "NGram", "source": {"uri": f"file://{HEAD_IN}"}}
    return resource("SpecialistModel", name, {"encoder": encoder, "tasks": ["Classification"]})


def provider(url: str, name: str = "provider") -> Document:
    cost = {"perMillionTokens": {"input": "1", "output": "2"}}
    return resource("SpecialistModel", name, {"external": {"baseURL": url, "model": "large-1"}, "cost": cost})


def policy(at_least: str = "0.50", *, name: str = "default", deadline: str = "30s") -> Document:
    """Return a policy that asks triage, and the provider where it is less sure than that."""
    accept = {"signal": "Score", "atLeast": at_least}
    ladder = [{"model": "triage", "accept": accept}, {"model": "provider"}]
    return resource("RoutingPolicy", name, {"defaultLadder": ladder, "limits": {"deadline": deadline}})


def gateway(replicas: int = 1, volume: str = "triage-head") -> Document:
    """Return the gateway's part of a portfolio, whose pods hold the head."""
    mounts = [{"name": "ray-worker", "volumeMounts": [{"name": "head", "mountPath": HEAD_IN}]}]
    template = {"spec": {"containers": mounts, "volumes": [{"name": "head", "configMap": {"name": volume}}]}}
    return {
        "minReplicas": replicas,
        "maxReplicas": replicas,
        "resources": GATEWAY,
        "podTemplate": template,
    }


def portfolio(name: str = "desk", *, replicas: int = 1, **more: Any) -> Document:
    spec = {
        "policyRef": {"name": "default"},
        "models": [{"name": "triage"}, {"name": "provider"}],
        "gateway": gateway(replicas),
        "ray": {"head": {"resources": HEAD}},
    }
    return resource("ModelPortfolio", name, {**spec, **more})


def everything(provider_url: str, **of_portfolio: Any) -> list[Document]:
    return [head(), triage(), provider(provider_url), policy(), portfolio(**of_portfolio)]

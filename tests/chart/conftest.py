"""Helm, asked as people ask it; what it renders comes back as objects."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHART = ROOT / "helm/folio"
VERSION: str = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
REGISTRY = os.environ.get("IMAGE_REGISTRY", "").rstrip("/")
"""Where nodes have the images from; empty: they were given them."""
EXAMPLES = tuple(sorted((ROOT / "examples/install").glob("*/values.yaml")))
EVERYTHING = (
    "replicas=2,podMonitor.enabled=true,prometheusRule.enabled=true,dashboards.enabled=true"
    ",podMonitor.labels.release=prometheus"
)
"""Values that turn on whatever is off by default."""
Object = dict[str, Any]


def image_name(what: str, tag: str = VERSION) -> str:
    return f"{REGISTRY}{'/' if REGISTRY else ''}folio/{what}:{tag}"


class RefusedError(Exception):
    """Helm said no; the message is Helm's."""


@cache
def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(done.stderr + done.stdout)
    return done.stdout


@dataclass(frozen=True)
class Helm:
    """The chart, rendered without a cluster: the same question has the same answer, and is asked once."""

    program: str

    @property
    def version(self) -> str:
        return self.run("version", "--template", "{{.Version}}")

    def run(self, *arguments: str) -> str:
        return _run(self.program, *arguments)

    def text(self, *options: str, values: Sequence[Path] = (), namespace: str = "folio-system") -> str:
        files = [part for path in values for part in ("--values", str(path))]
        return self.run("template", "folio", str(CHART), "--namespace", namespace, *files, *options)

    def objects(self, *options: str, **how: Any) -> list[Object]:
        return [each for each in yaml.safe_load_all(self.text(*options, **how)) if each]

    def one(self, kind: str, name: str, *options: str) -> Object:
        found = [
            each
            for each in self.objects(*options)
            if (each["kind"], each["metadata"]["name"]) == (kind, name)
        ]
        assert len(found) == 1
        return found[0]


@pytest.fixture(scope="session")
def helm() -> Helm:
    program = shutil.which("helm")
    if program is None:
        pytest.skip("helm is not on PATH: `make test-chart` starts a cluster that has it, or install it")
    return Helm(program)


@pytest.fixture(scope="session")
def api() -> client.ApiClient:
    if not os.environ.get("KUBECONFIG"):
        pytest.skip(
            "KUBECONFIG is not set: `make test-chart` starts an API server, or set it to one of yours"
        )
    config.load_kube_config(os.environ["KUBECONFIG"])
    return client.ApiClient()


@pytest.fixture(scope="session")
def restricted(api: client.ApiClient) -> Iterator[str]:
    with restricted_namespace(api) as name:
        yield name


@contextmanager
def restricted_namespace(api: client.ApiClient) -> Iterator[str]:
    """A namespace that refuses any pod which is not `restricted`."""
    core, name = client.CoreV1Api(api), f"folio-chart-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    core.create_namespace({"metadata": {"name": name, "labels": labels}})
    try:
        yield name
    finally:
        core.delete_namespace(name)

"""Folio as people install it: the chart by Helm, the images as `make images` names them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from tests.e2e.world import wait_for

from folio_api.crd import DEFINITIONS

ROOT = Path(__file__).parents[3]
CHART = ROOT / "helm/folio"
NAME, NAMESPACE = "folio", "folio-system"
INSTALL_SECONDS = 180
GONE_SECONDS = 60
VERSION: str = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
REGISTRY = os.environ.get("IMAGE_REGISTRY", "")
OPERATOR_PODS = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=operator"
LIGHT_ENGINE = os.environ.get("FOLIO_E2E_ENGINE", "none")
"""Engine of the serving image of stories without vLLM; an image with vLLM serves them too."""
SMALL = ("resources.requests.cpu=50m", "replicas=1")
LETS_GO = "uninstall.portfolios=Release"
"""A story that was interrupted may have left portfolios: their namespaces must go without the operator."""
PROVIDERS = "policy.egress.allow[0].to[0].podSelector.matchExpressions[0]"
STUBS = (f"{PROVIDERS}.key=story", f"{PROVIDERS}.operator=Exists")
"""Providers of the stories are pods of their namespaces, which is for the installation to allow."""


class CommandError(Exception):
    """What a program said when it failed."""


def run(*command: str, seconds: float = INSTALL_SECONDS, given: str | None = None) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=seconds, input=given, cwd=ROOT
    )
    if done.returncode:
        raise CommandError(f"{' '.join(command[:4])}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def serving_image(engine: str = LIGHT_ENGINE) -> str:
    registry = f"{REGISTRY.rstrip('/')}/" if REGISTRY else ""
    return f"{registry}folio/serving:{VERSION}-{engine}"


def missing_programs() -> list[str]:
    return [each for each in ("helm", "kubectl") if shutil.which(each) is None]


@dataclass
class Release:
    """The installed chart."""

    api: client.ApiClient
    seconds: float = 0.0
    """From `helm upgrade --install` until Helm said that it was done."""
    _made_namespace: bool = field(default=False, init=False)

    def install(self, *options: str, chart: Path = CHART) -> None:
        """Install or upgrade, and wait until the operator is ready; `options` are `name=value`."""
        wanted = (
            f"imageRegistry={REGISTRY}",
            f"servingImage.engine={LIGHT_ENGINE}",
            *SMALL,
            LETS_GO,
            *STUBS,
            *self._crds(),
        )
        settings = [part for each in (*wanted, *options) for part in ("--set", each)]
        self._made_namespace |= NAMESPACE not in self._namespaces()
        began = time.monotonic()
        refused = self._upgrade(str(chart), settings)
        self.seconds = time.monotonic() - began
        if refused:
            pytest.fail(f"{refused}\n{self.trouble()}", pytrace=False)

    def uninstall(self) -> None:
        where = ("--namespace", NAMESPACE, "--wait", "--timeout", "90s", "--ignore-not-found")
        run("helm", "uninstall", NAME, *where)
        if self._made_namespace and NAMESPACE in self._namespaces():
            client.CoreV1Api(self.api).delete_namespace(NAMESPACE)
            wait_for(f"{NAMESPACE} is gone", lambda: NAMESPACE not in self._namespaces(), GONE_SECONDS)

    def pods(self) -> Sequence[Any]:
        found = client.CoreV1Api(self.api).list_namespaced_pod(NAMESPACE, label_selector=OPERATOR_PODS)
        return tuple(found.items)

    def log(self, lines: int = 60) -> str:
        return _said("kubectl", "logs", "-n", NAMESPACE, "-l", OPERATOR_PODS, f"--tail={lines}", "--prefix")

    def trouble(self) -> str:
        """Return what keeps the operator's pods from running, and the fix where it is known."""
        waits = [waiting(pod) for pod in self.pods()]
        found = [each for each in waits if each] or ["no pod of the operator says why"]
        return "\n".join([*found, self.log(20)])

    def _upgrade(self, chart: str, settings: Sequence[str]) -> str:
        """Return what Helm complains about, if it does."""
        how = ["--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout", "150s"]
        how += ["--take-ownership"] if self._orphans() else []
        try:
            run("helm", "upgrade", "--install", NAME, chart, *how, *settings)
        except CommandError as error:
            return str(error)
        return ""

    def _namespaces(self) -> set[str]:
        return {each.metadata.name for each in client.CoreV1Api(self.api).list_namespace().items}

    def _orphans(self) -> list[str]:
        """Return the roles of a release whose namespace was deleted under it: nobody will ever uninstall them."""
        namespaces = self._namespaces()
        roles = client.RbacAuthorizationV1Api(self.api).list_cluster_role(
            label_selector="app.kubernetes.io/part-of=folio,app.kubernetes.io/managed-by=Helm"
        )
        owners = {
            each.metadata.name: (each.metadata.annotations or {}).get("meta.helm.sh/release-namespace")
            for each in roles.items
        }
        return [name for name, owner in owners.items() if owner not in namespaces]

    def _crds(self) -> list[str]:
        """The chart brings the definitions where nobody else does; those applied by hand are made this checkout's."""
        extensions = client.ApiextensionsV1Api(self.api)
        names = {f"{each.plural}.folio.dev" for each in DEFINITIONS}
        present = [
            each
            for each in extensions.list_custom_resource_definition().items
            if each.metadata.name in names and not _is_ours(each.metadata.annotations or {})
        ]
        if not present:
            return ["crds.enabled=true", "crds.keep=false"]
        files = [part for each in DEFINITIONS for part in ("-f", f"crds/{each.file}")]
        run("kubectl", "apply", "--server-side", "--force-conflicts", *files)
        return ["crds.enabled=false"]


def _is_ours(annotations: Mapping[str, str]) -> bool:
    release = {f"meta.helm.sh/release-{what}" for what in ("name", "namespace")}
    return {annotations.get(each) for each in release} == {NAME, NAMESPACE}


def waiting(pod: Any) -> str:
    """Return why a pod does not run; nothing where it does."""
    states = [
        each.state.waiting
        for each in (pod.status.container_statuses or ())
        if each.state and each.state.waiting
    ]
    if not states:
        return "" if pod.status.phase == "Running" else f"{pod.metadata.name}: {pod.status.phase}"
    state = states[0]
    images = ", ".join(each.image for each in pod.spec.containers)
    fix = ""
    if "Image" in (state.reason or "") or "ErrImage" in (state.reason or ""):
        fix = f": the nodes do not have {images}; build them: make images SERVING_ENGINE='none vllm-cpu'"
    return f"{pod.metadata.name}: {state.reason} {state.message or ''}{fix}"


def _said(*command: str) -> str:
    try:
        return run(*command, seconds=20)
    except (CommandError, subprocess.TimeoutExpired) as error:
        return str(error)

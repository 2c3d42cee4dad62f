"""The release itself: installed into a restricted namespace, at work, tested by its own test, upgraded, gone.

Needs the operator's image on the nodes: `make test-chart` builds it.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from kubernetes import client
from tests.chart.conftest import CHART, Helm, Object

READY_SECONDS = 120
PORTFOLIO = """
apiVersion: folio.dev/v1alpha1
kind: SpecialistModel
metadata: {name: frontier}
spec:
  external: {baseURL: "https://api.example.com/v1", model: big-1}
  cost: {perMillionTokens: {input: "3", output: "15"}}
---
apiVersion: folio.dev/v1alpha1
kind: RoutingPolicy
metadata: {name: default}
spec:
  defaultLadder: [{model: frontier}]
---
apiVersion: folio.dev/v1alpha1
kind: ModelPortfolio
metadata: {name: desk}
spec:
  policyRef: {name: default}
  models: [{name: frontier}]
  gateway:
    minReplicas: 2
    maxReplicas: 2
    resources: {requests: {cpu: 50m, memory: 64Mi}}
"""


def kubectl(*arguments: str, given: str | None = None) -> str:
    done = subprocess.run(["kubectl", *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.5)
    return found


@dataclass(frozen=True)
class Release:
    """Folio as Helm installed it."""

    helm: Helm
    namespace: str
    options: tuple[str, ...]

    def upgrade(self, *options: str) -> str:
        """Install or upgrade, and wait until the operator's pods are ready."""
        return self._helm(
            *("upgrade", "--install", "folio", str(CHART), "--take-ownership"),
            *("--wait", "--timeout", f"{READY_SECONDS}s", *self.options, *options),
        )

    def test(self) -> str:
        return self._helm("test", "folio", "--logs", "--timeout", "120s")

    def uninstall(self) -> None:
        self._helm("uninstall", "folio", "--wait")

    def objects(self, plural: str, *options: str) -> list[Object]:
        found = json.loads(kubectl("get", plural, "-n", self.namespace, "-o", "json", *options))
        return list(found["items"])

    def logs(self) -> str:
        selector = "app.kubernetes.io/name=folio,app.kubernetes.io/component=operator"
        return kubectl("logs", "-n", self.namespace, "-l", selector, "--tail=-1")

    def _helm(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.helm.program, *arguments, "--namespace", self.namespace],
            capture_output=True,
            text=True,
            check=False,
        )
        state = "" if done.returncode == 0 else kubectl("get", "pods,events", "-n", self.namespace)
        assert done.returncode == 0, done.stderr + done.stdout + state
        return done.stdout


@pytest.fixture(scope="module")
def _definitions(api: client.ApiClient) -> Iterator[None]:
    """Leave the cluster's definitions as they were: those of the chart stay on uninstall."""
    extensions = client.ApiextensionsV1Api(api)
    names = [
        yaml.safe_load(path.read_text())["metadata"]["name"] for path in (CHART / "files/crds").glob("*.yaml")
    ]
    before = {each.metadata.name for each in extensions.list_custom_resource_definition().items}
    yield
    for name in set(names) - before:
        extensions.delete_custom_resource_definition(name)


@pytest.fixture(scope="module", params=["cluster", "confined"])
def release(
    request: pytest.FixtureRequest, helm: Helm, restricted: str, _definitions: None
) -> Iterator[Release]:
    """Two replicas; the namespace refuses what is not `restricted`, the operator's pods and the portfolio's."""
    where = (
        [f"--set=watchNamespaces={{{restricted}}},kuberay.leaseRole=true"]
        if request.param == "confined"
        else []
    )
    options = ("--set=replicas=2,servingImage.engine=none", *where)
    installed = Release(helm, restricted, options)
    began = time.monotonic()
    installed.upgrade()
    print(f"\nhelm install --wait ({request.param}): {time.monotonic() - began:.1f} s")
    yield installed
    kubectl("delete", "modelportfolios", "--all", "-n", restricted, "--timeout=90s")
    kubectl("delete", "routingpolicies,specialistmodels", "--all", "-n", restricted)
    installed.uninstall()
    left = kubectl("get", "all,roles,rolebindings,networkpolicies", "-n", restricted, "-o", "name")
    assert "folio" not in left
    assert "modelportfolios.folio.dev" in kubectl("get", "crds", "-o", "name")


@pytest.fixture(scope="module")
def portfolio(release: Release) -> Callable[[], Object]:
    kubectl("apply", "-n", release.namespace, "-f", "-", given=PORTFOLIO)

    def read() -> Object:
        found: Object = json.loads(
            kubectl("get", "modelportfolio", "desk", "-n", release.namespace, "-o", "json")
        )
        return found

    return read


def test_its_own_test_passes(release: Release):
    assert "the operator leads" in release.test()


def test_a_portfolio_is_reconciled(release: Release, portfolio: Callable[[], Object]):
    def condition(kind: str) -> Object | None:
        found = (portfolio().get("status") or {}).get("conditions") or ()
        return next((each for each in found if each["type"] == kind), None)

    began = time.monotonic()
    accepted = wait_for("a word about the spec", lambda: condition("Accepted"))
    print(f"\nfirst status: {time.monotonic() - began:.1f} s")
    assert accepted["status"] == "True", accepted["message"]
    owned = ("-l", "folio.dev/portfolio=desk")
    wait_for("its network policies", lambda: len(release.objects("networkpolicies", *owned)) == 2)
    wait_for("its disruption budget", lambda: release.objects("poddisruptionbudgets", *owned))
    service = wait_for("its RayService", lambda: release.objects("rayservices", *owned))[0]
    images = re.findall(r'"image": "([^"]+)"', json.dumps(service))
    assert set(images) == {"folio/serving:0.1.0-none"}
    assert {each["metadata"]["name"] for each in release.objects("secrets", *owned)} >= {"desk-ray-auth"}


def test_kuberay_may_make_its_pods_in_a_restricted_namespace(
    release: Release, portfolio: Callable[[], Object]
):
    portfolio()
    wait_for("the head's pod", lambda: release.objects("pods", "-l", "ray.io/node-type=head"), 60)


def test_nothing_was_forbidden(release: Release, portfolio: Callable[[], Object]):
    portfolio()
    assert [line for line in release.logs().splitlines() if re.search(r"forbidden|\b403\b", line)] == []
    leaders = [each for each in release.objects("leases") if each["metadata"]["name"] == "folio-operator"]
    assert leaders[0]["spec"]["holderIdentity"].startswith("folio-operator-")


def test_an_upgrade_rolls_the_operator_and_no_portfolio(release: Release, portfolio: Callable[[], Object]):
    portfolio()
    before = {
        each["metadata"]["uid"]: each["metadata"]["generation"] for each in release.objects("rayservices")
    }
    began = time.monotonic()
    release.upgrade("--set=operator.logLevel=DEBUG")
    print(f"\nhelm upgrade --wait: {time.monotonic() - began:.1f} s")
    assert "the operator leads" in release.test()
    after = {
        each["metadata"]["uid"]: each["metadata"]["generation"] for each in release.objects("rayservices")
    }
    assert after == before != {}

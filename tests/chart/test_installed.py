"""The release itself: installed into a restricted namespace, at work, tested by its own test, upgraded, gone.

Needs KubeRay, and both images (serving with ENGINE=none) on the nodes: `make test-chart` sees to it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from tests.chart.conftest import (
    CHART,
    HERE,
    REGISTRY,
    VERSION,
    Helm,
    Object,
    image_name,
    restricted_namespace,
)

SERVING_IMAGE = image_name("serving", f"{VERSION}-none")
INSTALL_SECONDS = 120
SERVING_SECONDS = 240
SETTLED_SECONDS = 5
"""A pass of a new leader, had it anything to change."""
OLDER_COLUMN = "Older"
OWNED = ("-l", "folio.dev/portfolio=desk")
OPERATOR = ("-l", "app.kubernetes.io/name=folio,app.kubernetes.io/component=operator")
RELEASE = "--set=uninstall.portfolios=Release"
FINALIZER = "folio.dev/ray-service"


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
    """Folio as Helm installed it, and the portfolio `desk` in its namespace."""

    helm: Helm
    namespace: str
    options: tuple[str, ...]

    def upgrade(self, *options: str, chart: Path = CHART) -> None:
        """Install or upgrade, and wait until the operator's pods are ready.

        The definitions may be there, and not Helm's: Helm 4 then asks to be told that it wins.
        """
        theirs = ("--take-ownership", *(() if self.helm.version.startswith("v3") else ("--force-conflicts",)))
        self.helm_in_its_namespace(
            *("upgrade", "--install", "folio", str(chart), *theirs),
            *("--wait", "--timeout", f"{INSTALL_SECONDS}s", *self.options, *options),
        )

    def test(self) -> str:
        return self.helm_in_its_namespace("test", "folio", "--logs", "--timeout", "120s")

    def uninstall(self) -> None:
        self.helm_in_its_namespace("uninstall", "folio", "--wait")

    def refusal(self) -> str:
        """Return why Helm may not uninstall, as the hook says it; newer versions of Helm say it too."""
        command = [self.helm.program, "uninstall", "folio", "--namespace", self.namespace]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        said = self.kubectl("logs", "job/folio-uninstall").strip()
        if not self.helm.version.startswith("v3"):
            assert said in done.stderr
        return said

    def clear(self) -> None:
        """Leave nothing of a release that a test did not take down, and nothing that waits for it.

        What it leaves of the whole cluster would be in the way of every other release.
        """
        self.look("delete", "modelportfolios", "--all", "--timeout=60s")
        command = (self.helm.program, "uninstall", "folio", "--namespace", self.namespace)
        options = ("--no-hooks", "--wait", "--ignore-not-found")
        subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        for name in self.look("get", "modelportfolios", "-o", "name").split():
            self.look("patch", name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')

    def finalizers(self) -> list[str]:
        [found] = self.get("modelportfolios")
        return list(found["metadata"].get("finalizers", ()))

    def get(self, plural: str, *options: str) -> list[Object]:
        return list(json.loads(self.kubectl("get", plural, "-o", "json", *options))["items"])

    def names(self, plural: str) -> set[str]:
        """Of the portfolio's own objects."""
        return {each["metadata"]["name"] for each in self.get(plural, *OWNED)}

    def condition(self, kind: str) -> Object:
        """The portfolio's condition; one without a word while it is absent."""
        [found] = self.get("modelportfolios")
        conditions = found.get("status", {}).get("conditions", ())
        unsaid = {"status": "", "reason": "", "message": ""}
        return next((each for each in conditions if each["type"] == kind), unsaid)

    def ask(self, path: str, body: Object) -> Object:
        """Ask the portfolio's Service, through the API server."""
        url = f"/api/v1/namespaces/{self.namespace}/services/desk:8000/proxy{path}"
        answer: Object = json.loads(kubectl("create", "--raw", url, "-f", "-", given=json.dumps(body)))
        return answer

    def inside(self, pod: Object, container: str) -> Object:
        """What a container says of itself."""
        target = (pod["metadata"]["name"], "-c", container)
        script = (HERE / "inside.py").read_text()
        said = self.kubectl("exec", "-i", *target, "--", "python", "-", given=script)
        found: Object = json.loads(said.splitlines()[-1])
        return found

    def rayservices(self) -> dict[str, int]:
        return {each["metadata"]["uid"]: each["metadata"]["generation"] for each in self.get("rayservices")}

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        return kubectl("-n", self.namespace, *arguments, given=given)

    def helm_in_its_namespace(self, *arguments: str) -> str:
        command = [self.helm.program, *arguments, "--namespace", self.namespace]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stderr}{done.stdout}{self.trouble()}"
        return done.stdout

    def trouble(self) -> str:
        """What one would look at next."""
        seen = self.look("get", "pods,events,modelportfolios,rayservices", "-o", "wide")
        said = self.look("get", "modelportfolios", "-o", "jsonpath={.items[*].status}")
        return f"{seen}\n{said}\n{self.logs('--tail=50')}{self.logs('--tail=50', '--previous')}"

    def logs(self, *options: str) -> str:
        """The operator's; nothing of a container that has not run."""
        return self.look("logs", *OPERATOR, "--prefix", *options)

    def look(self, *arguments: str) -> str:
        """What kubectl prints, whether it likes the question or not."""
        command = ["kubectl", "-n", self.namespace, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="module")
def _kuberay(api: client.ApiClient) -> None:
    if "ray.io" not in {each.name for each in client.ApisApi(api).get_api_versions().groups}:
        pytest.skip("KubeRay is not installed on this cluster")


@pytest.fixture(scope="module")
def _definitions(api: client.ApiClient) -> Iterator[None]:
    """Leave the cluster's definitions as they were: those of the chart stay on uninstall."""
    extensions = client.ApiextensionsV1Api(api)
    names = {
        yaml.safe_load(path.read_text())["metadata"]["name"] for path in (CHART / "files/crds").glob("*.yaml")
    }
    before = {each.metadata.name for each in extensions.list_custom_resource_definition().items}
    yield
    for name in names - before:
        extensions.delete_custom_resource_definition(name)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as a release before this one might have been: its portfolios have a column of their own."""
    chart = tmp_path_factory.mktemp("older") / "folio"
    shutil.copytree(CHART, chart)
    _rewrite(chart / "Chart.yaml", "\nversion: 0.1.0\n", "\nversion: 0.0.9\n")
    columns = "    additionalPrinterColumns:\n"
    older = f"    - name: {OLDER_COLUMN}\n      type: string\n      jsonPath: .metadata.name\n"
    _rewrite(chart / "files/crds/modelportfolios.yaml", columns, columns + older)
    return chart


def _rewrite(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert text.count(before) == 1
    file.write_text(text.replace(before, after))


@pytest.fixture(scope="module", params=["cluster", "confined"])
def release(
    request: pytest.FixtureRequest,
    helm: Helm,
    api: client.ApiClient,
    older: Path,
    _kuberay: None,
    _definitions: None,
) -> Iterator[Release]:
    """Two replicas; the namespace refuses what is not `restricted`, the operator's pods and the portfolio's."""
    with restricted_namespace(api) as namespace:
        confined = f"--set=watchNamespaces={{{namespace}}},kuberay.leaseRole=true"
        options = [f"--set=replicas=2,servingImage.engine=none,imageRegistry={REGISTRY}"]
        installed = Release(helm, namespace, (*options, *([confined] if request.param == "confined" else ())))
        try:
            began = time.monotonic()
            installed.upgrade(chart=older)
            print(f"\nhelm install --wait ({request.param}): {time.monotonic() - began:.1f} s")
            yield installed
            installed.kubectl("delete", "modelportfolios", "--all", "--timeout=90s")
            installed.uninstall()
            # Helm does not wait for pods that end, and the Lease goes after the Deployment.
            of_release = "all,roles,rolebindings,serviceaccounts,networkpolicies,poddisruptionbudgets,leases"
            wait_for("all is gone", lambda: "folio" not in installed.kubectl("get", of_release, "-o", "name"))
            assert "folio" not in kubectl("get", "clusterroles,clusterrolebindings", "-o", "name")
            assert "modelportfolios.folio.dev" in kubectl("get", "crds", "-o", "name")
        finally:
            installed.clear()


@pytest.fixture(scope="module")
def portfolio(release: Release) -> Release:
    """The release once its portfolio serves."""
    written = (HERE / "portfolio.yaml").read_text()
    release.kubectl("apply", "-f", "-", given=written.replace("OPERATOR_IMAGE", image_name("operator")))
    began = time.monotonic()
    try:
        wait_for("it is ready", lambda: release.condition("Ready")["status"] == "True", SERVING_SECONDS)
        wait_for("all models are", lambda: release.condition("ModelsReady")["status"] == "True", 60)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{release.trouble()}") from None
    print(f"\napply to all models ready: {time.monotonic() - began:.1f} s")
    return release


def test_its_own_test_passes(release: Release):
    assert "the operator leads" in release.test()


def test_a_portfolio_is_reconciled_in_a_restricted_namespace(portfolio: Release):
    assert portfolio.names("networkpolicies") >= {"desk-gateway", "desk-ray"}
    assert portfolio.names("secrets") >= {"desk-gateway", "desk-models", "desk-ray-auth"}
    [service] = portfolio.get("rayservices", *OWNED)
    assert set(re.findall(r'"image": "([^"]+)"', json.dumps(service["spec"]))) == {SERVING_IMAGE}


def test_it_answers_through_its_service(portfolio: Release):
    vector = portfolio.ask("/v1/embeddings", {"model": "minilm", "input": "a lost card"})
    assert len(vector["data"][0]["embedding"]) == 384
    question = {"model": "folio", "messages": [{"role": "user", "content": "hello"}]}
    answer = portfolio.ask("/v1/chat/completions", question)
    assert answer["choices"][0]["message"]["content"] == "played"
    assert answer["model"] == "frontier"


@pytest.mark.parametrize(
    ("labels", "container"), [(OPERATOR, "operator"), (("-l", "ray.io/node-type=head"), "ray-head")]
)
def test_an_image_can_change_nothing_of_itself(portfolio: Release, labels: tuple[str, str], container: str):
    found = portfolio.inside(portfolio.get("pods", *labels)[0], container)
    assert found["uid"] > 0
    assert found["writable"] == ["/tmp"]
    assert found["installers"] == found["compilers"] == []


def test_an_upgrade_rolls_the_operator_and_no_portfolio(portfolio: Release):
    operators = {each["metadata"]["uid"] for each in portfolio.get("pods", *OPERATOR)}
    before = portfolio.rayservices()
    assert _denials(portfolio) == []
    assert OLDER_COLUMN in _columns()
    began = time.monotonic()
    portfolio.upgrade("--set=operator.logLevel=DEBUG")
    print(f"\nhelm upgrade --wait: {time.monotonic() - began:.1f} s")
    assert "the operator leads" in portfolio.test()
    assert not operators & {each["metadata"]["uid"] for each in portfolio.get("pods", *OPERATOR)}
    assert OLDER_COLUMN not in _columns()
    time.sleep(SETTLED_SECONDS)
    assert portfolio.rayservices() == before != {}


def test_an_uninstall_is_refused_while_a_portfolio_is_left(portfolio: Release):
    operators = {each["metadata"]["uid"] for each in portfolio.get("pods", *OPERATOR)}
    before = portfolio.rayservices()
    began = time.monotonic()
    said = portfolio.refusal()
    print(f"\nrefused after {time.monotonic() - began:.1f} s: {said}")
    assert f"{portfolio.namespace}/desk." in said
    assert f"kubectl delete modelportfolios --all --namespace {portfolio.namespace};" in said
    assert f"helm uninstall folio --namespace {portfolio.namespace}." in said
    assert {each["metadata"]["uid"] for each in portfolio.get("pods", *OPERATOR)} == operators
    assert portfolio.rayservices() == before

    back = re.search(rf"helm (rollback folio \d+) --namespace {portfolio.namespace}\.", said)
    assert back is not None
    portfolio.helm_in_its_namespace(*back[1].split(), "--wait")
    assert "the operator leads" in portfolio.test()
    assert portfolio.rayservices() == before


def test_released_what_is_served_outlives_the_operator_and_is_taken_over_by_the_next(portfolio: Release):
    before = portfolio.rayservices()
    assert _denials(portfolio) == []
    portfolio.upgrade(RELEASE)
    assert FINALIZER in portfolio.finalizers()
    began = time.monotonic()
    portfolio.uninstall()
    print(f"\nhelm uninstall --wait, released: {time.monotonic() - began:.1f} s")
    assert portfolio.finalizers() == []
    assert portfolio.ask("/v1/embeddings", {"model": "minilm", "input": "a lost card"})["data"]
    portfolio.upgrade(RELEASE)
    assert "the operator leads" in portfolio.test()
    time.sleep(SETTLED_SECONDS)
    assert portfolio.condition("Ready")["status"] == "True"
    assert FINALIZER in portfolio.finalizers()
    assert portfolio.rayservices() == before != {}


def test_nothing_was_forbidden_and_one_replica_leads(portfolio: Release):
    assert _denials(portfolio) == []
    leaders = [each for each in portfolio.get("leases") if each["metadata"]["name"] == "folio-operator"]
    assert [each["spec"]["holderIdentity"].startswith("folio-operator-") for each in leaders] == [True]


def test_released_a_portfolio_is_deleted_without_an_operator_and_nothing_hangs(portfolio: Release):
    portfolio.uninstall()
    began = time.monotonic()
    portfolio.kubectl("delete", "modelportfolios", "desk", "--timeout=30s")
    children = "rayservices,rayclusters,pods,secrets,networkpolicies,controllerrevisions"
    wait_for(
        "nothing of it is left", lambda: not portfolio.kubectl("get", children, *OWNED, "-o", "name"), 120
    )
    print(f"\ndeleted without an operator, nothing left: {time.monotonic() - began:.1f} s")
    portfolio.upgrade()


def _columns() -> str:
    return kubectl("get", "crd", "modelportfolios.folio.dev", "-o", "jsonpath={.spec.versions[0]}")


def _denials(release: Release) -> list[str]:
    logs = release.logs("--tail=-1")
    assert "holds the Lease" in logs
    return [line for line in logs.splitlines() if re.search(r"(?i)forbidden|\b403\b|Traceback", line)]

"""Every object of every variant, by the API server's own schemas and by the API server itself, which stores nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from kubernetes import client
from tests.chart import schemas
from tests.chart.conftest import EVERYTHING, EXAMPLES, Helm

VARIANTS = {
    "default": ("--set", ""),
    "everything": ("--set", EVERYTHING),
    "confined": ("--set", "watchNamespaces={default}"),
    **{path.parent.name: ("--values", str(path)) for path in EXAMPLES},
}


@pytest.fixture(scope="session")
def _monitoring(api: client.ApiClient) -> None:
    groups = {each.name for each in client.ApisApi(api).get_api_versions().groups}
    if "monitoring.coreos.com" not in groups:
        pytest.skip("the cluster does not have the Prometheus Operator's kinds")


@pytest.fixture(scope="session")
def locations(api: client.ApiClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("schemas")
    schemas.write(api, folder)
    return str(folder / schemas.LOCATION)


def conform(text: str, locations: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("kubeconform")
    if program is None:
        pytest.skip("kubeconform is not on PATH")
    return subprocess.run(
        [program, "-strict", "-summary", "-schema-location", locations, "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("_monitoring")
@pytest.mark.parametrize("variant", VARIANTS)
def test_kubeconform_finds_every_object_valid(helm: Helm, locations: str, variant: str):
    done = conform(helm.text(*VARIANTS[variant]), locations)
    assert done.returncode == 0, done.stdout
    assert "Errors: 0, Skipped: 0" in done.stdout


def test_kubeconform_would_find_a_misspelt_field(helm: Helm, locations: str):
    text = helm.text().replace("terminationGracePeriodSeconds:", "terminationGraceSeconds:")
    done = conform(text, locations)
    assert "terminationGraceSeconds" in done.stdout
    assert done.returncode == 1


@pytest.mark.usefixtures("_monitoring")
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_api_server_accepts_every_object(helm: Helm, restricted: str, tmp_path: Path, variant: str):
    elsewhere = ("--set", f"watchNamespaces={{{restricted}}}") if variant in {"confined", "on-prem"} else ()
    text = helm.text(*VARIANTS[variant], *elsewhere, namespace=restricted)
    file = tmp_path / "rendered.yaml"
    file.write_text(text)
    done = subprocess.run(
        ["kubectl", "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (
        "Warning" not in done.stderr
    )  # what `restricted` would refuse of a Deployment's pods comes as a warning

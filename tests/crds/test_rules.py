"""Every rule of the resources, on a real API server: one object that it takes, one that it refuses, and why."""

import pytest
import yaml
from tests.crds.case_files import FOLDER, cases


def _document(case):
    return yaml.safe_load(case.file.read_text())


@pytest.mark.parametrize("case", cases("good"), ids=lambda case: case.name)
def test_a_good_object_is_taken(server, case):
    assert server.dry_run(_document(case)) == ""


@pytest.mark.parametrize("case", cases("bad"), ids=lambda case: case.name)
def test_a_bad_object_is_refused_with_the_fix(server, case):
    refusal = server.dry_run(_document(case))
    (told,) = case.told("server")
    assert told in refusal


@pytest.mark.parametrize("case", cases("edit"), ids=lambda case: case.name)
def test_an_edit_that_is_not_allowed_is_refused_with_the_fix(server, case):
    assert server.create(yaml.safe_load((case.file.parent / "good.yaml").read_text())) == ""
    (told,) = case.told("server")
    assert told in server.apply(_document(case))


def test_the_design_s_own_example_is_taken_whole(server):
    documents = yaml.safe_load_all((FOLDER / "design.yaml").read_text())
    assert {one["metadata"]["name"]: server.dry_run(one) for one in documents if server.dry_run(one)} == {}


def test_two_field_managers_can_each_own_a_model_of_a_portfolio(server):
    def portfolio(model):
        spec = {"policyRef": {"name": "default"}, "models": [{"name": model}]}
        kind = {"apiVersion": "folio.dev/v1alpha1", "kind": "ModelPortfolio"}
        return {**kind, "metadata": {"name": "shared"}, "spec": spec}

    assert server.apply(portfolio("first"), manager="one") == ""
    assert server.apply(portfolio("second"), manager="another") == ""
    models = server.read(portfolio("first"))["spec"]["models"]
    assert sorted(model["name"] for model in models) == ["first", "second"]

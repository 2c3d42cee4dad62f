"""The objects that tests/crds shows to an API server, shown to the loader: both must say the same of each."""

import pytest
from tests.crds.case_files import FOLDER, cases

from folio_api.crd import DEFINITIONS
from folio_api.load import load
from folio_api.markers import VALIDATIONS
from folio_api.structural import Schema, structural


@pytest.mark.parametrize("case", cases("good"), ids=lambda case: case.name)
def test_a_good_object_loads(case):
    assert [str(error) for error in load([case.file]).errors] == []


@pytest.mark.parametrize("case", cases("bad"), ids=lambda case: case.name)
def test_a_bad_object_is_refused_with_its_field_and_the_fix(case):
    found = load([case.file])
    assert [f"{error.path}: {error.message}" for error in found.errors] == case.told("folio")
    assert not any((found.models, found.policies, found.portfolios, found.evaluations))


def test_every_bad_object_stands_beside_a_good_one():
    good, bad = ({case.file.parent for case in cases(name)} for name in ("good", "bad"))
    edited = {case.file.parent for case in cases("edit")}
    assert bad | edited == good


def test_every_rule_has_a_bad_object_that_breaks_it():
    told = " ".join(line for name in ("bad", "edit") for case in cases(name) for line in case.told("server"))
    untold = {rule for one in DEFINITIONS for rule in _messages(structural(one.kind)) if rule not in told}
    assert untold == set()


def test_the_design_s_own_example_loads_whole():
    found = load([FOLDER / "design.yaml"])
    assert [str(error) for error in found.errors] == []
    assert len(found.models) == 11
    assert [len(kind) for kind in (found.policies, found.portfolios, found.evaluations)] == [1, 1, 1]


def _messages(schema: Schema) -> set[str]:
    own = {rule["message"] for rule in schema.get(VALIDATIONS, ())}
    parts = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return own.union(*(_messages(part) for part in parts if isinstance(part, dict)))

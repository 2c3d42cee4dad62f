"""What is generated from the resources is committed, and is what an API server takes."""

from pathlib import Path

import pytest
import yaml

from folio_api.__main__ import generated
from folio_api.crd import DEFINITIONS
from folio_api.detectors import DETECTORS
from folio_api.markers import INT_OR_STRING, LIST_TYPE, PRESERVE

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("what", ["crds", "reference"])
def test_generated_files_are_up_to_date(what):
    for path, content in generated(what).items():
        assert (ROOT / path).read_text() == content, f"run `python -m folio_api {what}`"


def test_nobody_committed_a_crd_that_is_not_generated():
    assert {path.name for path in (ROOT / "crds").glob("*.yaml")} == {one.file for one in DEFINITIONS}


def _fields(schema, path=""):
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from _fields(part, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from _fields(schema[name], f"{path}[]")


def _specs():
    for definition in DEFINITIONS:
        version = definition.manifest()["spec"]["versions"][0]
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        yield from ((f"{definition.plural}{path}", field) for path, field in _fields(spec, ".spec"))


FIELDS = list(_specs())


def test_no_field_has_a_default_in_the_schema():
    assert [path for path, field in FIELDS if "default" in field] == []


def test_every_field_says_what_it_means():
    unsaid = [path for path, field in FIELDS if "description" not in field]
    assert [path for path in unsaid if not path.endswith("]") and ".engineArgs." not in path] == []


def _is_bounded(field):
    if PRESERVE in field:
        return "maxProperties" in field
    if INT_OR_STRING in field:
        return "maxLength" in field
    match field["type"]:
        case "string":
            return "maxLength" in field or "enum" in field
        case "array":
            return "maxItems" in field and LIST_TYPE in field
        case "integer":
            return "minimum" in field and "maximum" in field
        case "object":
            return "properties" in field or "maxProperties" in field
    return field["type"] == "boolean"


def test_everything_in_a_spec_has_bounds_and_every_list_says_how_it_merges():
    unbounded = [path for path, field in FIELDS if not _is_bounded(field)]
    assert [path for path in unbounded if ".engineArgs." not in path] == []


def test_every_kind_has_its_short_name_columns_category_and_status_subresource():
    shown = {}
    for definition in DEFINITIONS:
        manifest = yaml.safe_load((ROOT / "crds" / definition.file).read_text())
        (version,) = manifest["spec"]["versions"]
        names = manifest["spec"]["names"]
        assert names["categories"] == ["folio"]
        assert version["subresources"] == {"status": {}}
        shown[names["shortNames"][0]] = [column["name"] for column in version["additionalPrinterColumns"]]
    assert sorted(shown) == ["mp", "pe", "rp", "sm"]
    expected = ["Ready", "Models", "Policy", "Revision", "Quality", "Cost/query", "URL", "Age"]
    assert [name for name in shown["mp"] if name in expected] == expected


def test_the_schema_knows_every_detector():
    known = [field["enum"] for path, field in FIELDS if path.endswith(".detectors[]")]
    assert known == [list(DETECTORS)]

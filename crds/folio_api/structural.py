"""The structural schema of a kind, from its class: without anything that an API server would refuse."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from folio_api.markers import OFFENDER, PRESERVE
from folio_api.meta import Part, Resource

Schema = dict[str, Any]
DROPPED = {"title", "default", "$defs", "$ref", "const", "anyOf"}


@cache
def structural(kind: type[Resource]) -> Schema:
    """The schema of the whole object, as the API server gets it."""
    schema: Schema = _accepted(full(kind))
    properties = schema["properties"]
    plain = {name: {"type": "string", "description": text} for name, text in TYPE_META.items()}
    schema["properties"] = {
        **plain,
        "metadata": {"type": "object"},
        **{k: properties[k] for k in ("spec", "status")},
    }
    schema["required"] = ["spec"]
    return schema


def _accepted(value: Any) -> Any:
    """Without what only `folio` reads, and without paths into metadata, which an API server cannot follow."""
    if isinstance(value, list):
        return [_accepted(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _accepted(part) for name, part in value.items() if name != OFFENDER}
    if str(kept.get("fieldPath", "")).startswith(".metadata"):
        del kept["fieldPath"]
    return kept


TYPE_META = {"apiVersion": "Group and version of the kind.", "kind": "The kind of the object."}


@cache
def full(kind: type[Part]) -> Schema:
    """The schema with metadata as Folio reads it."""
    root = kind.model_json_schema(by_alias=True)
    return _inlined(root, root.get("$defs", {}))


def _inlined(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    schema = _resolved(schema, definitions)
    result = {key: value for key, value in schema.items() if key not in DROPPED}
    if "const" in schema:
        result["enum"] = [schema["const"]]
    if "properties" in schema:
        result["properties"] = {
            name: _inlined(part, definitions) for name, part in schema["properties"].items()
        }
    if "items" in schema:
        result["items"] = _inlined(schema["items"], definitions)
    result.pop("additionalProperties", None)
    values = schema.get("additionalProperties")
    if isinstance(values, dict) and not result.get(PRESERVE):
        result["additionalProperties"] = _inlined(values, definitions)
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    return result


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference and drop `or null`; what stands beside it, such as the field's description, wins."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].removeprefix("#/$defs/")]
        return _resolved({**target, **{k: v for k, v in schema.items() if k != "$ref"}}, definitions)
    if "anyOf" in schema:
        (only,) = [option for option in schema["anyOf"] if option != {"type": "null"}]
        return _resolved({**only, **{k: v for k, v in schema.items() if k != "anyOf"}}, definitions)
    return schema

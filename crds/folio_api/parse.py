"""One object as JSON, from a file or the cluster, into its class, by the same checks as the API server's."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from folio_api.complaints import complaints, suggestion
from folio_api.conformance import broken_rules
from folio_api.errors import Complaint
from folio_api.evaluation import PortfolioEvaluation
from folio_api.markers import PRESERVE
from folio_api.meta import API_VERSION, Resource
from folio_api.model import SpecialistModel
from folio_api.policy import RoutingPolicy
from folio_api.portfolio import ModelPortfolio
from folio_api.structural import Schema, full

KINDS: Mapping[str, type[Resource]] = MappingProxyType(
    {kind.__name__: kind for kind in (SpecialistModel, RoutingPolicy, ModelPortfolio, PortfolioEvaluation)}
)


@dataclass(frozen=True)
class Parsed:
    """A resource, or every complaint about it."""

    resource: Resource | None
    complaints: tuple[Complaint, ...] = ()


def parse(document: Mapping[str, Any]) -> Parsed:
    """Never raises for what the document holds."""
    wrong = tuple(_wrong_type(document))
    if wrong:
        return Parsed(None, wrong)
    kind = KINDS[document["kind"]]
    schema = full(kind)
    value = _without_nulls(schema, document)
    resource, found = _validated(kind, value, schema)
    every = (*found, *broken_rules(schema, value, {one.meant or one.path for one in found}))
    return Parsed(None, every) if every else Parsed(resource)


def _wrong_type(document: Mapping[str, Any]) -> Iterator[Complaint]:
    version, kind = document.get("apiVersion"), document.get("kind")
    if kind not in KINDS:
        yield Complaint(("kind",), f"{kind} is no kind of Folio; {suggestion(str(kind), KINDS)}")
    elif version != API_VERSION:
        yield Complaint(("apiVersion",), f"{version} is not {API_VERSION}: write apiVersion: {API_VERSION}")


def _without_nulls(schema: Schema, value: Any) -> Any:
    """A field without a value counts as omitted, as an API server has it; free-form parts keep theirs."""
    if isinstance(value, list):
        return [_without_nulls(schema.get("items", {}), item) for item in value]
    if not isinstance(value, dict) or schema.get(PRESERVE):
        return value
    parts, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    written = {name: part for name, part in value.items() if part is not None}
    return {name: _without_nulls(parts.get(name, others), part) for name, part in written.items()}


def _validated(
    kind: type[Resource], document: Mapping[str, Any], schema: Schema
) -> tuple[Resource | None, tuple[Complaint, ...]]:
    try:
        return kind.model_validate_json(json.dumps(document), by_alias=True, by_name=False), ()
    except ValidationError as invalid:
        return None, complaints(invalid.errors(include_url=False), schema)

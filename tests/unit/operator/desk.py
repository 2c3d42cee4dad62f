"""The portfolio of desk.yaml, and what becomes of it when one field is written differently."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from folio_api.load import Text, load
from folio_operator.desired import Circumstances, Desired, desired
from folio_operator.world import Portfolio, gather

FILE = Path(__file__).with_name("desk.yaml")
PORTFOLIO, POLICY = "ModelPortfolio/desk", "RoutingPolicy/default"
GENERAL, CONTRACTS, TRIAGE = "SpecialistModel/llama-8b", "SpecialistModel/contracts", "SpecialistModel/triage"
MINILM, HANDBOOK, FRONTIER = "SpecialistModel/minilm", "SpecialistModel/handbook", "SpecialistModel/frontier"
REMOVED: Any = object()

Edits = Mapping[str, Mapping[str, Any]]
"""Object -> dotted path below spec (numbers index lists) -> value. An object that is REMOVED goes altogether."""


def desk(edits: Edits | None = None, *, secrets: Mapping[str, frozenset[str]] | None = None) -> Portfolio:
    """Return the portfolio with some fields written differently; the schema must accept them."""
    loaded = load([Text("desk.yaml", edited(edits or {}))])
    assert not loaded.errors, "\n".join(str(error) for error in loaded.errors)
    (resource,) = loaded.portfolios.values()
    return gather(resource, loaded.policies.values(), loaded.models.values(), secrets)


def rendered(edits: Edits | None = None, circumstances: Circumstances | None = None) -> Desired:
    return desired(desk(edits), circumstances or Circumstances())


def owned(portfolio: Portfolio, uid: str = "7d2c") -> Portfolio:
    """Return the portfolio as a cluster has it: with a uid, so that its children name it as owner."""
    metadata = portfolio.resource.metadata.model_copy(update={"uid": uid})
    return replace(portfolio, resource=portfolio.resource.model_copy(update={"metadata": metadata}))


def edited(edits: Edits) -> str:
    documents = {f"{d['kind']}/{d['metadata']['name']}": d for d in yaml.safe_load_all(FILE.read_text())}
    for name, fields in edits.items():
        if fields is REMOVED:
            del documents[name]
            continue
        documents[name] = copy.deepcopy(documents[name])
        for path, value in fields.items():
            _write(documents[name]["spec"], path.split("."), value)
    return yaml.safe_dump_all(documents.values(), sort_keys=False)


def _write(place: Any, path: list[str], value: Any) -> None:
    for step in path[:-1]:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    last = int(path[-1]) if isinstance(place, list) else path[-1]
    if value is REMOVED:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value

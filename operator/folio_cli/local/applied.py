"""What was applied last, as the resources themselves: what `folio plan` compares with and `folio status`
judges by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from folio_api.load import Text, load
from folio_api.meta import Resource
from folio_cli.local.state import StateDir, write_private
from folio_operator.world import Portfolio, gather


@dataclass(frozen=True)
class Applied:
    """A portfolio that runs, and how often each of its models was retried."""

    portfolio: Portfolio
    nonces: Mapping[str, str] = field(default_factory=dict)


def save(state: StateDir, applied: Applied) -> None:
    """Remember the resources, with no value of any Secret."""
    documents = [_document(resource) for resource in _resources(applied.portfolio)]
    write_private(state.applied, yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True))
    write_private(_nonces(state), json.dumps(dict(applied.nonces)))


def load_applied(state: StateDir) -> Applied | None:
    """Return what was applied last; None where nothing was, or an older Folio wrote it differently."""
    try:
        loaded = load([Text(str(state.applied), state.applied.read_text())])
        nonces: dict[str, str] = json.loads(_nonces(state).read_text())
    except (OSError, ValueError):
        return None
    if loaded.errors or len(loaded.portfolios) != 1:
        return None
    (resource,) = loaded.portfolios.values()
    return Applied(gather(resource, loaded.policies.values(), loaded.models.values()), nonces)


def _nonces(state: StateDir) -> Any:
    return state.path / "nonces.json"


def _resources(portfolio: Portfolio) -> list[Resource]:
    named = {entry.specialist for entry in portfolio.resource.spec.models}
    models = [model for name, model in sorted(portfolio.specialists.items()) if name in named]
    policy = [portfolio.policy] if portfolio.policy else []
    return [portfolio.resource, *policy, *models]


def _document(resource: Resource) -> dict[str, Any]:
    content = resource.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    return {"apiVersion": resource.api_version, "kind": type(resource).__name__, **content}

"""What the portfolio says of itself: its models as OpenAI lists them, and why a request would go where."""

from __future__ import annotations

from typing import Any

import orjson

from folio_serving.errors import Trouble
from folio_serving.policy import Policy
from folio_serving.route import PORTFOLIO_MODEL, Route


def listed(policy: Policy, name: str) -> bytes:
    """Return every name that can be asked, or one of them."""
    entries = {one: _entry(policy, one) for one in policy.router.names()}
    if not name:
        return orjson.dumps({"object": "list", "data": list(entries.values())})
    if name not in entries:
        raise Trouble(
            "UnknownModel", f"model {name} does not exist; there are: {', '.join(entries)}", "model"
        )
    return orjson.dumps(entries[name])


def _entry(policy: Policy, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": name, "object": "model", "created": 0, "owned_by": policy.table.portfolio}
    model = policy.models.get(name)
    if model is not None:
        entry["folio"] = {
            "engine": model.engine,
            "tasks": model.tasks,
            "inputs": model.inputs,
            "features": model.features,
            "context_tokens": model.context_tokens,
        }
    elif name != PORTFOLIO_MODEL:
        ladder = next(one.ladder for one in policy.table.intents if name == f"{PORTFOLIO_MODEL}/{one.name}")
        entry["folio"] = {"ladder": [rung.model for rung in ladder]}
    else:
        entry["folio"] = {"ladder": [rung.model for rung in policy.table.default_ladder]}
    return entry


def explained(policy: Policy, route: Route) -> bytes:
    """Return the decision that a request would meet, without asking any model of its ladder."""
    return orjson.dumps({"revision": policy.table.revision, **route.explanation()})

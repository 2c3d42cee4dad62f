"""What Folio made of one portfolio, as whoever applies it for another one has to write it."""

from __future__ import annotations

import json

from bench.operator.api import Json, collection
from bench.operator.fleet import Fleet, portfolio_name

from folio_operator import cluster as kinds

TEMPLATE_KINDS = (
    kinds.RAY_SERVICE,
    kinds.NETWORK_POLICY,
    kinds.DISRUPTION_BUDGET,
    kinds.REVISION,
    kinds.POD_MONITOR,
    kinds.SECRET,
)


async def template(fleet: Fleet) -> str:
    """Return the children of the first portfolio as whoever applies them would write them."""
    name = portfolio_name(0)
    selector = f"?labelSelector=folio.dev%2Fportfolio%3D{name}"
    found: list[Json] = []
    for kind in TEMPLATE_KINDS:
        items = await fleet.api.list(collection(kind, fleet.namespace) + selector)
        found += [_stated({"apiVersion": kind.api_version, "kind": kind.name, **each}) for each in items]
    return json.dumps(found)


def _stated(body: Json) -> Json:
    metadata = body["metadata"]
    kept = {each: metadata[each] for each in ("name", "labels", "annotations") if each in metadata}
    owners = [{**each, "uid": "@UID@"} for each in metadata["ownerReferences"]]
    rest = {name: part for name, part in body.items() if name not in ("metadata", "status")}
    return {**rest, "metadata": {**kept, "namespace": "@NAMESPACE@", "ownerReferences": owners}}

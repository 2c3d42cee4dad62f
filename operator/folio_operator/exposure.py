"""What stands between a gateway and the world: an HTTPRoute or an Ingress, for /v1 alone.

Probes, metrics and the internal state stay inside. Whether a route is taken is said by whoever takes it,
never by us.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from folio_api.door import HttpRoute, Ingress, ParentRef
from folio_operator.children import Manifest, metadata
from folio_operator.cluster import HTTP_ROUTE, INGRESS, Body
from folio_operator.site import HTTP_PORT
from folio_operator.status import Finding
from folio_operator.world import Portfolio

EXPOSED = "Exposed"
PATH = "/v1"


def exposure(portfolio: Portfolio) -> Manifest | None:
    """Return the way in from outside; None where there shall be none."""
    expose = portfolio.resource.spec.gateway.expose
    if expose is None:
        return None
    if expose.http_route is not None:
        return _http_route(portfolio, expose.http_route)
    assert expose.ingress is not None
    return _ingress(portfolio, expose.ingress)


def _http_route(portfolio: Portfolio, route: HttpRoute) -> Manifest:
    name = portfolio.key.name
    spec: Manifest = {"parentRefs": [_parent(each) for each in route.parent_refs]}
    if route.hostnames:
        spec["hostnames"] = sorted(route.hostnames)
    path = {"path": {"type": "PathPrefix", "value": PATH}}
    spec["rules"] = [{"matches": [path], "backendRefs": [{"name": name, "port": HTTP_PORT}]}]
    return {
        "apiVersion": HTTP_ROUTE.api_version,
        "kind": HTTP_ROUTE.name,
        "metadata": metadata(portfolio, name),
        "spec": spec,
    }


def _parent(parent: ParentRef) -> Manifest:
    written = {"name": parent.name, "namespace": parent.namespace, "sectionName": parent.section_name}
    return {field: value for field, value in written.items() if value is not None}


def _ingress(portfolio: Portfolio, ingress: Ingress) -> Manifest:
    name = portfolio.key.name
    service = {"service": {"name": name, "port": {"number": HTTP_PORT}}}
    path = {"path": PATH, "pathType": "Prefix", "backend": service}
    spec: Manifest = {}
    if ingress.class_name is not None:
        spec["ingressClassName"] = ingress.class_name
    if ingress.tls_secret_name is not None:
        spec["tls"] = [{"hosts": [ingress.host], "secretName": ingress.tls_secret_name}]
    spec["rules"] = [{"host": ingress.host, "http": {"paths": [path]}}]
    return {
        "apiVersion": INGRESS.api_version,
        "kind": INGRESS.name,
        "metadata": metadata(portfolio, name, ingress.annotations),
        "spec": spec,
    }


def taken(stored: Body) -> Finding:
    """Return whether somebody leads clients in by the object that is stored."""
    if stored["kind"] == INGRESS.name:
        points = ((stored.get("status") or {}).get("loadBalancer") or {}).get("ingress")
        if points:
            return Finding(EXPOSED, "True", "Attached", "an ingress controller took the Ingress")
        message = "no ingress controller has said that it took the Ingress: see its class"
        return Finding(EXPOSED, "Unknown", "NotClaimed", message)
    return _route_taken(stored)


def _route_taken(stored: Body) -> Finding:
    parents = (stored.get("status") or {}).get("parents") or ()
    wanted = len(stored["spec"]["parentRefs"])
    for gateway, reason, message in _objections(parents, stored["metadata"].get("generation")):
        said = f"Gateway {gateway} does not take the HTTPRoute: {reason}: {message}"
        return Finding(EXPOSED, "False", "NotAttached", said)
    if len(parents) < wanted:
        message = f"{len(parents)} of {wanted} Gateways have said that they take the HTTPRoute"
        return Finding(EXPOSED, "Unknown", "NotClaimed", message)
    return Finding(EXPOSED, "True", "Attached", "every Gateway takes the HTTPRoute")


def _objections(
    parents: Iterable[Mapping[str, Any]], generation: int | None
) -> Iterator[tuple[str, str, str]]:
    """Return who objects to this generation of a route, and why."""
    for parent in parents:
        for condition in parent.get("conditions") or ():
            current = generation is None or condition.get("observedGeneration", generation) == generation
            if (
                current
                and condition["type"] in ("Accepted", "ResolvedRefs")
                and condition["status"] == "False"
            ):
                yield parent["parentRef"]["name"], condition["reason"], condition.get("message", "")

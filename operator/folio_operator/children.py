"""What every child object of a portfolio carries: names, labels, the owner, and the settings of the
installation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from folio_api.meta import API_VERSION
from folio_operator.world import Portfolio

Manifest = dict[str, Any]

MANAGED_BY = "app.kubernetes.io/managed-by"
PORTFOLIO_LABEL = "folio.dev/portfolio"
ROLE_LABEL = "folio.dev/role"
ROTATE = "folio.dev/rotate-ray-token"
"""Annotation of a portfolio: another value wants another token for Ray, and so another cluster."""
RENDERER = "folio.dev/renderer"
RENDERER_VERSION = "2"
"""Raised when the same portfolio renders differently. Of an older RayService only what an edit changes is
then rendered anew (see rendered.py).
"""


@dataclass(frozen=True)
class Egress:
    """What pods of a portfolio may reach beside names, each other and public addresses."""

    allow: tuple[Mapping[str, Any], ...] = ()
    """Rules as a NetworkPolicy's `egress` has them."""
    api_server_cidrs: tuple[str, ...] = ("0.0.0.0/0", "::/0")
    """Where the API server may be, which Ray's autoscaler asks from the head's pod."""
    api_server_ports: tuple[int, ...] = (443, 6443)


@dataclass(frozen=True)
class Installation:
    """What the chart decides for every portfolio."""

    serving_image: str = "folio/serving:0.1.0-vllm"
    """As the chart has it by default: the release of this operator, with the engine for GPUs."""
    ray_version: str = "2.60.0"
    operator_namespace: str = "folio-system"
    kuberay_labels: Mapping[str, str] | None = None
    """Labels of KubeRay's pods, which must reach the dashboard; None: the one of its chart and manifests."""
    monitoring_namespace: str = ""
    """Where Prometheus runs, which then reads metrics of portfolios by PodMonitors; empty: there are none."""
    egress: Egress | None = Egress()
    """None: pods of portfolios reach whatever the namespace lets them reach."""


def metadata(portfolio: Portfolio, name: str, annotations: Mapping[str, str] | None = None) -> Manifest:
    """Return a child's metadata, owned by the portfolio where that exists in a cluster."""
    common = portfolio.resource.spec.common_metadata
    notes = {**common.annotations, **(annotations or {})}
    result: Manifest = {
        "name": name,
        "namespace": portfolio.key.namespace,
        "labels": labels(portfolio),
    }
    if notes:
        result["annotations"] = notes
    if portfolio.resource.metadata.uid:
        result["ownerReferences"] = [_owner(portfolio)]
    return result


def labels(portfolio: Portfolio) -> dict[str, str]:
    common = portfolio.resource.spec.common_metadata.labels
    return {**common, MANAGED_BY: "folio", PORTFOLIO_LABEL: portfolio.key.name}


def _owner(portfolio: Portfolio) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelPortfolio",
        "name": portfolio.key.name,
        "uid": portfolio.resource.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def rotation(portfolio: Portfolio) -> str:
    """Return which token for Ray is wanted; the first one has no name."""
    return portfolio.resource.metadata.annotations.get(ROTATE, "")


def gateway_secret(portfolio: Portfolio) -> str:
    return f"{portfolio.key.name}-gateway"


def models_secret(portfolio: Portfolio) -> str:
    return f"{portfolio.key.name}-models"


def ray_token_secret(portfolio: Portfolio) -> str:
    return f"{portfolio.key.name}-ray-auth"

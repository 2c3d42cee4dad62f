"""A portfolio that the checks accepted, as everything that ought to exist for it. Pure: the same in, the same
out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from folio_api.table import Table
from folio_operator import manifests, network
from folio_operator.children import Installation, Manifest
from folio_operator.copies import Copy, copies
from folio_operator.exposure import exposure
from folio_operator.monitoring import pod_monitors
from folio_operator.render_table import routing_table
from folio_operator.rendered import Rendered
from folio_operator.serve_config import Rendering, ServeConfig, serve_config
from folio_operator.site import CLUSTER, Site
from folio_operator.succession import Past, Succession, succession
from folio_operator.world import Portfolio


@dataclass(frozen=True)
class Desired:
    """Everything that is rendered from a portfolio."""

    site: Site
    table: Table
    """What ought to route, once every model that it names answers."""
    succession: Succession
    serve_config: ServeConfig
    manifests: tuple[Manifest, ...]
    copies: tuple[Copy, ...]

    @property
    def ray_service(self) -> Manifest:
        return next(each for each in self.manifests if each["kind"] == "RayService")


@dataclass(frozen=True)
class Canary:
    """A second table that a part of the traffic tries."""

    table: Table
    percent: int


@dataclass(frozen=True)
class Circumstances:
    """What a render takes from outside the portfolio."""

    site: Site = CLUSTER
    installation: Installation = field(default_factory=Installation)
    nonces: Mapping[str, str] = field(default_factory=dict)
    applications: Collection[str] | None = None
    """Serve applications to include; None means all. A RayService begins with the gateway alone."""
    is_first: bool = False
    """Nothing serves yet."""
    held: Rendered | None = None
    """The Ray cluster that stands; None: it is rendered anew."""
    past: Past | None = None
    """None: nothing served before, or it does not matter."""
    canary: Canary | None = None
    """Gateways hold two tables: while a model moves, the second is the one that it moves to."""


def desired(portfolio: Portfolio, circumstances: Circumstances) -> Desired:
    """Return what ought to exist; the portfolio has passed every check."""
    table = routing_table(portfolio)
    found = succession(table, circumstances.past)
    canary = circumstances.canary if found.candidate is None else None
    rendering = Rendering(
        circumstances.site,
        found.active,
        candidate=canary.table if canary else found.candidate,
        canary_percent=canary.percent if canary else 0,
        nonces=circumstances.nonces,
        starting=found.starting,
        is_first=circumstances.is_first,
        standing=found.standing,
    )
    config = serve_config(portfolio, rendering, applications=circumstances.applications)
    return Desired(
        site=circumstances.site,
        table=table,
        succession=found,
        serve_config=config,
        manifests=_manifests(portfolio, config, found.active.revision, circumstances),
        copies=copies(portfolio),
    )


def _manifests(
    portfolio: Portfolio, config: ServeConfig, revision: str, circumstances: Circumstances
) -> tuple[Manifest, ...]:
    installation = circumstances.installation
    service = manifests.ray_service(portfolio, config, revision, installation, circumstances.held)
    way_in = exposure(portfolio)
    guard = portfolio.resource.spec.gateway.min_replicas > 1
    return (
        service,
        *network.network_policies(portfolio, installation),
        *((manifests.disruption_budget(portfolio),) if guard else ()),
        *((way_in,) if way_in else ()),
        *pod_monitors(portfolio, installation),
    )

"""Where a portfolio is rendered for. Only what must differ between one machine and a cluster stands here."""

from __future__ import annotations

from dataclasses import dataclass

HTTP_PORT = 8000


@dataclass(frozen=True)
class Site:
    """A place to serve at."""

    http_host: str
    http_port: int
    pins_to_pools: bool
    """Whether replicas are sent to the workers of their pool; one machine has no pools, and no pods."""


CLUSTER = Site(http_host="0.0.0.0", http_port=HTTP_PORT, pins_to_pools=True)  # noqa: S104 - a pod's own address


def local(port: int) -> Site:
    """Return this machine, reachable from itself alone."""
    return Site(http_host="127.0.0.1", http_port=port, pins_to_pools=False)

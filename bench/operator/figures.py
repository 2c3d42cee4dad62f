"""What was measured, and the table of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Figures:
    """One operator with so many portfolios. None: not measured of it."""

    name: str
    size: int
    status_seconds: float
    """From the start of the process until all portfolios have a status."""
    programmed_seconds: float | None
    start_requests: float
    """To the API server, a portfolio."""
    start_cpu: float
    """Seconds of CPU, until all was Programmed."""
    load: float
    """Of the machine by then. Above the number of its CPUs all times are longer than they would be."""
    passes: float | None = None
    """Over each portfolio until then."""
    edits: tuple[float, ...] = ()
    """Seconds from an edit to its RayService's edit."""
    confirmed: tuple[float, ...] = ()
    """Seconds from an edit until the portfolio says that its gateways confirmed it."""
    policy_seconds: float | None = None
    """From the edit of a policy to the last RayService of its portfolios, a tenth of all."""
    burst_seconds: float | None = None
    """From the first of one edit a portfolio to the last RayService."""
    idle_requests: float | None = None
    """To the API server a minute, the Lease aside."""
    idle_cpu: float | None = None
    """Milliseconds of CPU a second."""
    rss_mib: float = 0.0
    peak_mib: float = 0.0
    delete_seconds: float | None = None

    def cells(self) -> tuple[str, ...]:
        return (
            self.name,
            str(self.size),
            _seconds(self.status_seconds),
            _seconds(self.programmed_seconds),
            f"{self.start_requests:.1f}",
            _plain(self.passes),
            f"{1000 * self.start_cpu / self.size:.0f}",
            f"{self.load:.0f}",
            _quantiles(self.edits),
            _quantiles(self.confirmed),
            _seconds(self.policy_seconds),
            _seconds(self.burst_seconds),
            _plain(self.idle_requests),
            _plain(self.idle_cpu),
            f"{self.rss_mib:.0f} / {self.peak_mib:.0f}",
            _seconds(self.delete_seconds),
        )


HEAD = (
    "",
    "portfolios",
    "all have status s",
    "all Programmed s",
    "requests each",
    "passes each",
    "CPU ms each",
    "load",
    "edit to RayService ms p50 / p99",
    "edit to confirmed ms p50 / p99",
    "policy to a tenth s",
    "edit of all s",
    "idle requests/min",
    "idle CPU ms/s",
    "RSS / peak MiB",
    "all deleted s",
)


def table(rows: Iterable[Figures]) -> str:
    lines = [HEAD, ("---",) * len(HEAD), *(each.cells() for each in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _quantiles(seconds: tuple[float, ...]) -> str:
    if not seconds:
        return ""
    p50, p99 = np.quantile(seconds, [0.5, 0.99])
    return f"{1000 * p50:.0f} / {1000 * p99:.0f}"

"""What Prometheus reads of one gateway replica. Label children are looked up once, not formatted on every
request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = b"text/plain; version=1.0.0; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)
MOST_TENANTS = 200
OTHER_TENANTS = "other"
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


class Labelled:
    """A metric's children by label values."""

    def __init__(self, metric: Counter | Histogram) -> None:
        self._metric = metric
        self._children: dict[tuple[str, ...], Any] = {}

    def __getitem__(self, values: tuple[str, ...]) -> Any:
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._metric.labels(*values) if values else self._metric
        return child


class Metrics:
    """All metrics of one gateway replica, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        asked = ("rung", "role")
        self.requests = self._counter("folio_requests", "Requests by path and HTTP status", "path", "status")
        self.routes = self._counter(
            "folio_route", "Queries by the rung that answered, and why it was this one", "rung", "reason"
        )
        self.intents = self._counter(
            "folio_intents", "Queries by intent and by what recognised it", "intent", "source"
        )
        self.escalations = self._counter(
            "folio_escalations", "Models that handed a query on, and why", "rung", "role", "reason"
        )
        self.cost = self._counter("folio_cost_usd", "USD that queries cost, refused drafts included", *asked)
        self.device = self._counter(
            "folio_device_seconds", "CPU- or GPU-seconds that queries took", *asked, "device"
        )
        self.energy = self._counter("folio_watt_hours", "Energy that queries took, in Wh", *asked)
        self.broken = self._counter(
            "folio_broken_streams", "Streams that broke after their first event", "rung"
        )
        self.left = self._counter("folio_clients_left", "Clients that left before their answer was complete")
        self.tenant_requests = self._counter(
            "folio_tenant_requests", "Requests by tenant and HTTP status", "tenant", "status"
        )
        self.tenant_cost = self._counter(
            "folio_tenant_cost_usd", "USD that a tenant's queries cost", "tenant"
        )
        self.tenant_tokens = self._counter(
            "folio_tenant_tokens",
            "Tokens that models read and wrote for a tenant",
            "tenant",
            "gen_ai_token_type",
        )
        self._tenants: set[str] = set()
        self._jwks = self._counter(
            "folio_jwks_fetches", "Fetches of the identity provider's keys, by how they went", "result"
        )
        self.confidence = self._histogram("folio_confidence", "Confidence of answers judged", _SHARES, "rung")
        self.duration = self._histogram(
            "gen_ai_server_request_duration_seconds",
            "Time from a request to the end of its answer",
            _SECONDS,
            *("gen_ai_operation_name", "gen_ai_response_model"),
        )
        self.tokens = self._histogram(
            "gen_ai_client_token_usage",
            "Tokens that models read and wrote",
            _TOKENS,
            *("gen_ai_response_model", "role", "gen_ai_token_type"),
        )

    def tenant(self, name: str) -> str:
        """Return the label of a tenant: its name for the first ones, for tokens may name any number."""
        if name in self._tenants:
            return name
        if len(self._tenants) >= MOST_TENANTS:
            return OTHER_TENANTS
        self._tenants.add(name)
        return name

    def jwks_fetched(self, result: str) -> None:
        self._jwks[(result,)].inc()

    def gauges(self, read: Callable[[], Iterable[Metric]]) -> None:
        """Add what is computed when it is scraped."""
        self.registry.register(_Scraped(read))

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _counter(self, name: str, what: str, *labels: str) -> Labelled:
        return Labelled(Counter(name, what, labels, registry=self.registry))

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Labelled:
        return Labelled(Histogram(name, what, labels, buckets=buckets, registry=self.registry))


class _Scraped(Collector):
    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()

"""What the operator counts, for Prometheus; in a registry of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from folio_api.meta import Key
from folio_operator.cluster import MODEL, POLICY, Kind, key_of
from folio_operator.reports import Report
from folio_operator.store import Store

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
OBJECT = ("namespace", "name")


@dataclass
class Metrics:
    """Filled by passes, read by /metrics."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _series: dict[Key, set[tuple[str, ...]]] = field(default_factory=lambda: defaultdict(set))
    """Labels of the conditions and models of each portfolio, so that what is gone is not shown for ever."""

    def __post_init__(self) -> None:
        registry = self.registry
        self.passes = Counter("folio_operator_reconcile", "Passes", ("kind", "result"), registry=registry)
        self.pass_seconds = Histogram(
            "folio_operator_reconcile_duration_seconds",
            "Duration of a pass",
            ("kind",),
            buckets=BUCKETS,
            registry=registry,
        )
        self.requests = Counter(
            "folio_operator_api_requests",
            "Requests to the API server",
            ("verb", "resource", "code"),
            registry=registry,
        )
        self.condition = Gauge(
            "folio_portfolio_condition",
            "1 for the status that a condition of a portfolio has",
            (*OBJECT, "type", "status"),
            registry=registry,
        )
        self.model = Gauge(
            "folio_model_state",
            "1 for the state that a model of a portfolio is in",
            (*OBJECT, "model", "state"),
            registry=registry,
        )
        self.leader = Gauge(
            "folio_operator_leader", "1 while this replica holds the Lease", registry=registry
        )
        self.queue_depth = Gauge(
            "folio_operator_queue_depth", "Objects that wait for a pass", registry=registry
        )

    def timed(self, kind: str, result: str, seconds: float) -> None:
        self.passes.labels(kind, result).inc()
        self.pass_seconds.labels(kind).observe(seconds)

    def requested(self, verb: str, resource: str, status: int) -> None:
        self.requests.labels(verb, resource, str(status)).inc()

    def portfolio(self, found: Report) -> None:
        """Show the conditions and models of a portfolio as they are now, and none that were."""
        conditions = {("condition", each.type, each.status) for each in found.findings}
        models = {("model", state.name, state.state) for state in found.models}
        now: set[tuple[str, ...]] = conditions | models
        for series in self._series[found.key] - now:
            self._gauge(series[0]).remove(*found.key, *series[1:])
        for series in now:
            self._gauge(series[0]).labels(*found.key, *series[1:]).set(1)
        self._series[found.key] = now

    def forget(self, portfolio: Key) -> None:
        for series in self._series.pop(portfolio, set()):
            self._gauge(series[0]).remove(*portfolio, *series[1:])

    def show_shared(self, store: Store) -> None:
        """Show the conditions of policies and models too, whose statuses the store holds."""
        self.registry.register(SharedConditions(store))

    def page(self) -> bytes:
        return generate_latest(self.registry)

    def _gauge(self, which: str) -> Gauge:
        return self.condition if which == "condition" else self.model


@dataclass(frozen=True, eq=False)
class SharedConditions(Collector):
    """What policies and models say of themselves, read when somebody asks: no series is kept of hundreds."""

    store: Store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield self._of(POLICY, "folio_policy_condition", "policy")
        yield self._of(MODEL, "folio_specialist_condition", "SpecialistModel")

    def _of(self, kind: Kind, name: str, what: str) -> GaugeMetricFamily:
        text = f"1 for the status that a condition of a {what} has"
        family = GaugeMetricFamily(name, text, labels=(*OBJECT, "type", "status"))
        for body in self.store.every(kind):
            for each in (body.get("status") or {}).get("conditions") or ():
                family.add_metric((*key_of(body), each["type"], each["status"]), 1)
        return family

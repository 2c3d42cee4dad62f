"""One gateway replica's parts, put together; with Ray or without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from folio_serving.answering import Answering
from folio_serving.counter import Counter
from folio_serving.door import Door
from folio_serving.fleet import Fleet
from folio_serving.gateway import Gateway
from folio_serving.health import Health
from folio_serving.keeper import Keeper
from folio_serving.leases import Leases
from folio_serving.ledger import Ledger, RequestLog
from folio_serving.metrics import Metrics
from folio_serving.state import Reporter


class GatewayProcess:
    """`replica` names it in reports."""

    def __init__(self, replica: str, fleet: Fleet, log: RequestLog, counter: Counter) -> None:
        self.fleet = fleet
        self.health = Health(fleet.waking)
        self.keeper = Keeper(fleet)
        self.leases = Leases(replica, counter)
        metrics = Metrics()
        ledger = Ledger(metrics, log)
        self._trials = ledger.trials
        self.reporter = Reporter(replica, self.keeper, fleet, self.health, self.leases, trials=self._trials)
        metrics.gauges(self.reporter.gauges)
        metrics.gauges(self.leases.metrics)
        fleet.observe(self.health.heard)
        self.answering = Answering(fleet, ledger, self.leases)
        self.door = Door(fleet.secrets, metrics.jwks_fetched)
        self.app = Gateway(self.keeper, fleet, metrics, self.answering, self.reporter, door=self.door)

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        await self.keeper.apply(config)
        self.door.use(self.keeper.auth)
        self.health.use(self.keeper.active, self.keeper.candidate)
        if self.keeper.active is not None:
            self.leases.use(self.keeper.active.table.budgets)
        self._trials.hold(self.keeper.held)

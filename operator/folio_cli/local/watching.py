"""One look at a local portfolio: what Serve says, what the gateway says, and what is true by both."""

from __future__ import annotations

from dataclasses import dataclass

from folio_cli.local.gateway_api import GatewayApi
from folio_cli.local.serve_api import ServeApi, ServeError
from folio_cli.local.state import Running, StateDir
from folio_operator.render_table import routing_table
from folio_operator.status import NEXT_FAILED, Status, status
from folio_operator.world import Observed, Portfolio

SETTLED = ("Ready", "Idle", "Failed")


@dataclass(frozen=True)
class Eyes:
    """Sees one running portfolio."""

    serve: ServeApi
    gateway: GatewayApi

    @classmethod
    def on(cls, running: Running, state: StateDir) -> Eyes:
        token = state.ray_token.read_text().strip()
        internal = state.internal_token.read_text().strip()
        return cls(ServeApi(running.ports.dashboard, token), GatewayApi(running.url, internal))

    def look(self) -> Observed:
        """Return what can be seen now; what does not answer is missing."""
        try:
            applications = self.serve.applications()
        except ServeError:
            applications = {}
        return Observed(applications, self.gateway.state())

    def status(self, portfolio: Portfolio) -> Status:
        return status(portfolio, self.look(), routing_table(portfolio).revision)


def is_settled(found: Status) -> bool:
    """Whether nothing more will happen by itself: the table is live, every model answers or has failed."""
    live = found.finding("Programmed")
    return (live.status == "True" or live.reason in ("Rejected", NEXT_FAILED)) and all(
        model.state in SETTLED for model in found.models
    )

"""What a gateway replica tells the control plane: its revision, its models, and the same of its peers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily
from pydantic import ValidationError

from folio_api.table import WAKING, GatewayState, ModelState, ReplicaState
from folio_serving.canary import Trials
from folio_serving.fleet import Fleet
from folio_serving.health import Health, downloading, has_no_replica
from folio_serving.http1 import ConnectError, LostError, connect
from folio_serving.keeper import Keeper
from folio_serving.leases import Leases
from folio_serving.policy import Policy
from folio_serving.replicas import Address, Download

GATEWAY_APPLICATION = "gateway"
PEER_SECONDS = 2.0


class Reporter:
    """Answers for one replica, and asks the others."""

    def __init__(
        self, replica: str, keeper: Keeper, fleet: Fleet, health: Health, leases: Leases, *, trials: Trials
    ) -> None:
        self._replica = replica
        self._keeper = keeper
        self._fleet = fleet
        self._health = health
        self._leases = leases
        self._trials = trials

    def ready(self) -> bool:
        """Whether some rung of the default ladder answers now."""
        active = self._keeper.active
        if active is None:
            return False
        return any(self._health.works(active.backends[rung.model]) for rung in active.table.default_ladder)

    def own(self) -> ReplicaState:
        active, candidate = self._keeper.active, self._keeper.candidate
        return ReplicaState(
            replica=self._replica,
            revision=active.table.revision if active is not None else "",
            candidate=candidate.table.revision if candidate is not None else None,
            candidate_models=self._health.states(candidate) if candidate is not None else (),
            rejected=self._keeper.rejected,
            rejected_revision=self._keeper.rejected_revision,
            models=self._health.states(active) if active is not None else (),
            budgets=self._leases.states(),
            waiting_seconds=self._health.waiting_seconds(),
            trials=self._trials.told(),
        )

    async def state(self, *, own: bool) -> bytes:
        """Return this replica's state, or that of all gateway replicas as JSON."""
        addresses = () if own else self._fleet.addresses(GATEWAY_APPLICATION)
        peers = [address for address in addresses if address.replica != self._replica]
        # At once: who asks waits for three seconds in all.
        mine, *others = await asyncio.gather(self._with_downloads(self.own()), *map(self._peer, peers))
        if own:
            return mine.model_dump_json().encode()
        models = _with_wakes(mine.models, others)
        return GatewayState(replicas=(mine, *others), models=models).model_dump_json().encode()

    def gauges(self) -> Iterable[GaugeMetricFamily]:
        """Return what is in flight and what waits, by model, as of now."""
        active = self._keeper.active
        flight = GaugeMetricFamily("folio_in_flight", "Requests at a model's replicas", labels=["model"])
        queue = GaugeMetricFamily("folio_queue", "Requests that wait for a model", labels=["model"])
        for name, backend in (active.backends if active is not None else {}).items():
            flight.add_metric([name], backend.pool.in_flight)
            queue.add_metric([name], backend.pool.queued)
        return (flight, queue)

    def close(self) -> None:
        self._health.close()

    async def _with_downloads(self, mine: ReplicaState) -> ReplicaState:
        """Tell of models without a replica how far theirs is with its files; Ray is asked for no other."""
        if not any(has_no_replica(each) for each in (*mine.models, *mine.candidate_models)):
            return mine
        downloads = await self._fleet.downloads()
        keeper = self._keeper
        return mine.model_copy(
            update={
                "models": _fetching(mine.models, keeper.active, downloads),
                "candidate_models": _fetching(mine.candidate_models, keeper.candidate, downloads),
            }
        )

    async def _peer(self, address: Address) -> ReplicaState:
        """Return a peer's state; one that does not answer has no revision, so that nobody counts it as
        converged.
        """
        try:
            async with asyncio.timeout(PEER_SECONDS):
                return ReplicaState.model_validate_json(await self._fetch(address))
        except (TimeoutError, ConnectError, LostError, ValidationError) as error:
            return ReplicaState(replica=address.replica, revision="", rejected=f"does not answer: {error!r}")

    async def _fetch(self, address: Address) -> bytes:
        connection = await connect(address.host, address.port)
        token = self._fleet.secrets.internal_token(time.monotonic()) or ""
        request = (
            f"GET /internal/state?replica HTTP/1.1\r\nhost: {address.host}\r\nx-folio-token: {token}\r\n\r\n"
        )
        try:
            await connection.ask(request.encode("latin-1"), whole=True)
            return await connection.whole()
        finally:
            connection.close()


def _fetching(
    states: tuple[ModelState, ...], policy: Policy | None, downloads: Mapping[str, Download]
) -> tuple[ModelState, ...]:
    models = policy.table.models if policy else ()
    told = ((each.name, downloads.get(each.application or "")) for each in models)
    found = {name: download for name, download in told if download is not None}
    return tuple(
        downloading(each, found[each.name]) if each.name in found and has_no_replica(each) else each
        for each in states
    )


def _with_wakes(models: Iterable[ModelState], peers: Iterable[ReplicaState]) -> tuple[ModelState, ...]:
    """Return the models, with those that sleep for all we know and that a peer is waking."""
    told = (state for peer in peers for state in peer.models)
    woken = {state.name: state for state in told if state.reason == WAKING}
    return tuple(woken.get(each.name, each) if each.state == "Idle" else each for each in models)

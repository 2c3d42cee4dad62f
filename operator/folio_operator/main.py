"""The composition root: `python -m folio_operator`.

Health first, so that a standby is seen to live; then the Lease; and only while it is held the workers and,
after them, kopf. kopf cancels every task that is younger than itself when it ends, and its signal handler is
replaced by ours.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import kopf

from folio_api.meta import Key
from folio_operator import handlers, health, kube, lease_store, linear_start
from folio_operator.apply import Applier
from folio_operator.cluster import MODEL, POLICY, PORTFOLIO, Kind
from folio_operator.conditions import utc_now
from folio_operator.credentials import Reader
from folio_operator.desired import Circumstances
from folio_operator.events import Recorder
from folio_operator.garbage import collect_seldom
from folio_operator.gateways import HttpGateways
from folio_operator.gather import Gatherer
from folio_operator.kuberay import KubeRay
from folio_operator.late_kinds import LateKinds
from folio_operator.lease import Election, Elector, Terms
from folio_operator.leaving import Leaver
from folio_operator.metrics import Metrics
from folio_operator.queue import WorkQueue
from folio_operator.realize import Realizer
from folio_operator.reconcile import Reconciler
from folio_operator.resync import Resync
from folio_operator.settings import Settings, SettingsError, from_environment
from folio_operator.statuses import Statuses
from folio_operator.store import Store
from folio_operator.work import Item, Pass, Passes

STOP_SECONDS = 25.0
"""Within the 30 s that a pod is given."""
logger = logging.getLogger("folio_operator")


@dataclass
class Turn:
    """Whether this replica may work, and whether it must end: told by the election and by signals."""

    loop: asyncio.AbstractEventLoop
    elected: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self) -> None:
        self.loop.call_soon_threadsafe(self.elected.set)

    def catch_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self.stop.set)


@dataclass(frozen=True)
class Operator:
    """The parts that work while the Lease is held."""

    cluster: kube.KubeCluster
    gateways: HttpGateways
    queue: WorkQueue[Item]
    resync: Resync
    wiring: handlers.Wiring

    async def run(self, settings: Settings, turn: Turn) -> None:
        drained = asyncio.Event()
        workers = asyncio.create_task(self.queue.run(drained), name="workers")
        resync = asyncio.create_task(_lasting(self.resync.run), name="resync")
        kopf_stop, late = asyncio.Event(), LateKinds(self.cluster)
        ours = asyncio.all_tasks()
        watching = await kopf.spawn_tasks(
            registry=handlers.build(self.wiring),
            settings=handlers.settings(namespaced=bool(settings.namespaces)),
            insights=late.insights,
            identity=settings.identity,  # kopf would ask for a name of the user, and our image has none
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            stop_flag=kopf_stop,
        )
        turn.catch_signals()
        running = asyncio.create_task(kopf.run_tasks(watching, ignored=ours), name="kopf")
        collecting = asyncio.create_task(collect_seldom(), name="garbage")
        looking = asyncio.create_task(_lasting(late.run), name="late-kinds") if settings.namespaces else None
        await _first(turn.stop.wait(), running)
        drained.set()
        await workers
        resync.cancel()
        collecting.cancel()
        if looking is not None:
            looking.cancel()
        kopf_stop.set()
        await asyncio.wait([running], timeout=STOP_SECONDS)
        await self.gateways.close()
        await self.cluster.api.close()
        if running.done():
            running.result()  # kopf ended by itself: with its reason, and our exit code


async def build(settings: Settings, metrics: Metrics) -> Operator:
    """Put the parts together."""
    cluster = await kube.connect(settings.namespaces, metrics.requested)
    store, gateways = Store(), HttpGateways(settings.gateway_url)
    metrics.show_shared(store)
    reader = Reader(cluster, time.monotonic)
    gatherer = Gatherer(store, reader, settings.allowed)
    queue: WorkQueue[Item]
    recorder = Recorder(cluster, settings.identity)
    statuses = Statuses(
        cluster,
        store,
        gatherer,
        recorder,
        metrics,
        utc_now,
        put=lambda kind, key: queue.put(Item(kind, key)),
    )
    applier = Applier(cluster, store, reader)
    kuberay = KubeRay(cluster, settings.kuberay_lease, utc_now)
    leaver = Leaver(applier, kuberay, recorder, settings.release_without_kuberay)
    circumstances = Circumstances(installation=settings.installation)
    reconciler = Reconciler(
        applier,
        leaver,
        gatherer,
        Realizer(applier, leaver, gatherer, circumstances, time.monotonic),
        gateways,
        statuses,
        settings.installation,
        time.monotonic,
    )
    by_kind: Mapping[Kind, Pass] = {
        PORTFOLIO: reconciler.reconcile,
        POLICY: statuses.policy,
        MODEL: statuses.model,
    }
    queue = WorkQueue(Passes(by_kind, metrics.timed).run, is_patient=lambda item: item.kind is not PORTFOLIO)
    metrics.queue_depth.set_function(lambda: queue.depth)
    resync = Resync(cluster, store, gatherer, queue.put, every_seconds=settings.resync_seconds)
    return Operator(
        cluster,
        gateways,
        queue,
        resync,
        handlers.Wiring(store, gatherer, queue.put, reconciler.deaths, time.monotonic),
    )


async def serve(settings: Settings, metrics: Metrics) -> None:
    """Stand by, lead, and end when told to."""
    turn = Turn(asyncio.get_running_loop())
    turn.catch_signals()
    heartbeat = health.Heartbeat()
    beating = asyncio.create_task(heartbeat.run(), name="heartbeat")
    operator = await build(settings, metrics)
    probes = health.serve(
        health.Health(heartbeat, lambda: operator.resync.watches_are_stuck, metrics.page),
        settings.health_host,
        settings.health_port,
    )
    elector = _elector(settings, turn, heartbeat)
    election = threading.Thread(target=elector.run, name="election", daemon=True)
    election.start()
    await _first(turn.elected.wait(), turn.stop.wait())
    if not turn.stop.is_set():
        logger.info("%s holds the Lease", settings.identity)
        metrics.leader.set(1)
        await operator.run(settings, turn)
    elector.stop()
    await asyncio.to_thread(election.join, 5.0)
    beating.cancel()
    probes.shutdown()
    logger.info("stopped")


def _elector(settings: Settings, turn: Turn, heartbeat: health.Heartbeat) -> Elector:
    terms = Terms()
    identity = f"{settings.identity}_{random.getrandbits(32):08x}"
    return Elector(
        lease_store.connect(Key(settings.lease_namespace, settings.lease_name), terms.duration),
        Election(identity, terms),
        on_elected=turn.begin,
        on_deposed=_die,
        may_renew=lambda: heartbeat.is_fresh,
    )


def _die() -> None:
    """Another replica may lead from now on: not one more write, not even of what is under way."""
    logger.error("the Lease is lost")
    os._exit(1)


async def _lasting(run: Callable[[], Awaitable[None]], pause_seconds: float = 60.0) -> None:
    """Run what nobody waits for, and again a while after a fault of ours: its end would go unnoticed."""
    while True:
        try:
            await run()
        except Exception:
            logger.exception("%s failed, and begins again in %.0f s", run, pause_seconds)
            await asyncio.sleep(pause_seconds)
        else:
            return


async def _first(*waits: object) -> None:
    """Wait for the first of several, and leave the tasks among them alone."""
    tasks = {asyncio.ensure_future(each) for each in waits}  # type: ignore[call-overload]
    given = {each for each in waits if isinstance(each, asyncio.Task)}
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks - given:
        task.cancel()


def main() -> None:
    """Run until SIGTERM."""
    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        sys.exit(str(error))
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    logging.getLogger("kopf.activities.authentication").setLevel(logging.WARNING)
    linear_start.install()
    asyncio.run(serve(settings, Metrics()))

"""The operator's shell around a fake cluster: everything but kopf, the network and the clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from tests.unit.operator.desk import POLICY as POLICY_OBJECT
from tests.unit.operator.desk import Edits, edited
from tests.unit.operator.fake_cluster import FakeCluster

from folio_api.meta import Key
from folio_api.table import BudgetState, GatewayState, ModelState, ReplicaState
from folio_operator.apply import Applier
from folio_operator.children import Installation
from folio_operator.cluster import POLICY, PORTFOLIO, RAY_CLUSTER, RAY_SERVICE, SECRET, Kind
from folio_operator.credentials import Reader
from folio_operator.desired import Circumstances
from folio_operator.events import Recorder
from folio_operator.gather import Gatherer
from folio_operator.handlers import Wiring
from folio_operator.kuberay import LEASE_NAME, KubeRay
from folio_operator.leaving import Leaver
from folio_operator.metrics import Metrics
from folio_operator.realize import Realizer
from folio_operator.reconcile import Reconciler
from folio_operator.serve_config import GATEWAY
from folio_operator.statuses import Statuses
from folio_operator.store import Store

DESK = Key("bank", "desk")
GHOST = {POLICY_OBJECT: {"defaultLadder.0.model": "ghost"}}
"""An edit that no check accepts."""
FRONTIER_KEY = {"apiVersion": "v1", "kind": "Secret", "data": {"token": "c2VzYW1l"}}
BUDGET = {"name": "day", "scope": "Portfolio", "window": "24h", "limit": {"requests": 9}}
MODELS = ("contracts", "frontier", "general", "handbook", "minilm", "triage")


@dataclass
class FakeGateways:
    """A gateway that says what the test says; None: it does not answer."""

    answer: GatewayState | None = None
    asked: list[tuple[Key, str]] = field(default_factory=list)

    async def state(self, portfolio: Key, token: str) -> GatewayState | None:
        self.asked.append((portfolio, token))
        return self.answer


@dataclass
class Clock:
    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


@dataclass
class Shell:
    """One operator and its cluster."""

    store: Store = field(default_factory=Store)
    clock: Clock = field(default_factory=Clock)
    gateways: FakeGateways = field(default_factory=FakeGateways)
    queued: list[tuple[Kind, Key]] = field(default_factory=list)
    release_allowed: bool = False
    installation: Installation = field(default_factory=Installation)

    def __post_init__(self) -> None:
        self.cluster = FakeCluster(self.store, now=self.clock.now)
        self.start()

    def start(self) -> None:
        """As after a restart: what was only remembered is gone."""
        self.reader = Reader(self.cluster, self.clock)
        self.gatherer = Gatherer(self.store, self.reader)
        self.metrics = Metrics()
        self.statuses = Statuses(
            self.cluster,
            self.store,
            self.gatherer,
            Recorder(self.cluster, "test"),
            self.metrics,
            self.clock.now,
            put=lambda kind, key: self.queued.append((kind, key)),
        )
        applier = Applier(self.cluster, self.store, self.reader)
        kuberay = KubeRay(self.cluster, Key("kuberay-system", LEASE_NAME), self.clock.now)
        recorder = Recorder(self.cluster, "test")
        self.leaver = Leaver(applier, kuberay, recorder, self.release_allowed)
        self.reconciler = Reconciler(
            applier,
            self.leaver,
            self.gatherer,
            Realizer(
                applier,
                self.leaver,
                self.gatherer,
                Circumstances(installation=self.installation),
                self.clock,
            ),
            self.gateways,
            self.statuses,
            self.installation,
            self.clock,
        )
        self.wiring = Wiring(self.store, self.gatherer, lambda _: None, self.reconciler.deaths, self.clock)

    def release(self, *, allowed: bool) -> None:
        """The installation allows, or not, that KubeRay's finalizers are taken off without KubeRay."""
        self.release_allowed = allowed
        self.start()

    def upgrade(self, installation: Installation) -> None:
        """The chart is upgraded with other values, which starts another operator."""
        self.installation = installation
        self.start()

    def write(self, edits: Edits | None = None) -> None:
        """People apply desk.yaml with these edits."""
        self.cluster.write(edited(edits or {}))

    def with_key(self) -> Shell:
        """The Secret that desk.yaml refers to exists."""
        self.cluster.add({**FRONTIER_KEY, "metadata": {"name": "frontier", "namespace": "bank"}})
        return self

    async def pass_over(self, key: Key = DESK) -> float | None:
        """A pass over the portfolio, and over the policies and models that it asks for; of a new one the pass
        that only greets it goes first.
        """
        body = self.store.get(PORTFOLIO, key)
        is_new = body is not None and "status" not in body
        after = await self.reconciler.reconcile(key)
        if is_new and after == 0.0:
            after = await self.reconciler.reconcile(key)
        while self.queued:
            kind, item = self.queued.pop(0)
            await (self.statuses.policy(item) if kind is POLICY else self.statuses.model(item))
        return after

    async def settle(self) -> None:
        """Everything is written, the gateway and then the models run, and every gateway confirms."""
        self.write()
        await self.settle_running()

    async def settle_running(self) -> None:
        """What is written comes up."""
        await self.pass_over()
        self.serve_runs(GATEWAY)
        await self.pass_over()
        self.everything_runs()
        await self.pass_over()
        await self.pass_over()
        self.cluster.writes.clear()
        self.cluster.reads.clear()

    def serve_runs(self, *names: str, **failed: str) -> None:
        """KubeRay tells that these applications run, on a RayCluster that it made."""
        service = self.cluster.one(RAY_SERVICE, "desk")
        applications: dict[str, Any] = {name: {"status": "RUNNING"} for name in names}
        applications |= {
            f"model-{name}": {"status": "DEPLOY_FAILED", "message": why} for name, why in failed.items()
        }
        if "desk-x" not in self.cluster.names(RAY_CLUSTER):
            self.cluster.add(
                {
                    "apiVersion": "ray.io/v1",
                    "kind": "RayCluster",
                    "metadata": {
                        "name": "desk-x",
                        "namespace": "bank",
                        "labels": service["metadata"]["labels"],
                    },
                    "spec": service["spec"]["rayClusterConfig"],
                }
            )
        status = {
            "observedGeneration": service["metadata"]["generation"],
            "activeServiceStatus": {"rayClusterName": "desk-x", "applicationStatuses": applications},
        }
        self.cluster.edit(RAY_SERVICE, DESK, "status", status)

    def serve_deploys(self, name: str, among: list[str]) -> None:
        """KubeRay tells that this application starts, and that these run."""
        self.serve_runs(*among)
        told = self.service()["status"]["activeServiceStatus"]["applicationStatuses"]
        statuses = {**told, name: {"status": "DEPLOYING"}}
        self.cluster.edit(RAY_SERVICE, DESK, "status.activeServiceStatus.applicationStatuses", statuses)

    def everything_runs(self) -> None:
        names = [each["name"] for each in self.serve_config()["applications"]]
        self.serve_runs(*names)
        self.gateway_says(self.wanted_revision())

    def gateway_says(self, revision: str, candidate: str | None = None, **states: str) -> None:
        """Both gateway replicas run on the revision; models are Ready but where it is said of the candidate."""
        models = tuple(ModelState(name=name, state=states.get(name, "Ready"), replicas=1) for name in MODELS)  # type: ignore[arg-type]
        told = {"revision": revision, "candidate": candidate, "candidate_models": models if candidate else ()}
        replicas = tuple(ReplicaState.model_validate({"replica": name, **told}) for name in ("a", "b"))
        serving = (
            tuple(each.model_copy(update={"state": "Ready"}) for each in models) if candidate else models
        )
        self.gateways.answer = GatewayState(replicas=replicas, models=serving)

    def used(self, requests: float) -> None:
        """Every gateway replica tells how much of BUDGET is used."""
        day = BudgetState(name="day", unit="requests", used=requests, limit=9, counted=True)
        assert self.gateways.answer is not None
        replicas = [each.model_copy(update={"budgets": (day,)}) for each in self.gateways.answer.replicas]
        self.gateways.answer = self.gateways.answer.model_copy(update={"replicas": tuple(replicas)})

    def serve_config(self) -> dict[str, Any]:
        return yaml.safe_load(self.service()["spec"]["serveConfigV2"])

    def tables(self) -> dict[str, Any]:
        """Return the tables that the gateway is asked to hold."""
        gateway = next(each for each in self.serve_config()["applications"] if each["name"] == GATEWAY)
        return dict(gateway["deployments"][0]["user_config"])

    def wanted_revision(self) -> str:
        return self.service()["metadata"]["annotations"]["folio.dev/revision"]

    def service(self) -> dict[str, Any]:
        return self.cluster.one(RAY_SERVICE, "desk")

    def secret(self, name: str) -> dict[str, str]:
        return self.cluster.one(SECRET, name)["data"]

    def condition(self, kind: str, of: Kind = PORTFOLIO, name: str = "desk") -> tuple[str, str]:
        """Status and reason of a condition, or ("", "") where it is absent."""
        found = self.cluster.one(of, name).get("status", {}).get("conditions", ())
        return next(((each["status"], each["reason"]) for each in found if each["type"] == kind), ("", ""))

    def message(self, kind: str, of: Kind = PORTFOLIO, name: str = "desk") -> str:
        found = self.cluster.one(of, name)["status"]["conditions"]
        return next(each["message"] for each in found if each["type"] == kind)

"""The portfolio desk on a real API server, and KubeRay's part in it played from the moment that it is put to sleep."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import yaml
from tests.e2e.kuberay import KubeRay
from tests.e2e.operator.process import PlayedGateways
from tests.e2e.world import Namespace, documents, secret, wait_for
from tests.unit.operator.desk import Edits, edited

from folio_operator import cluster as kinds

MODELS = ("contracts", "frontier", "general", "handbook", "minilm", "triage")


@dataclass
class PlayedDesk:
    namespace: Namespace
    gateways: PlayedGateways
    kuberay: KubeRay

    def apply(self, edits: Edits | None = None) -> None:
        for document in documents(edited(edits or {})):
            self.namespace.apply(document)

    def apply_secret(self) -> None:
        self.namespace.apply(secret("frontier", token="sesam"))

    def service(self) -> dict[str, Any]:
        found = self.namespace.get(kinds.RAY_SERVICE, "desk")
        assert found is not None
        return found

    def serve_config(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self.service()["spec"]["serveConfigV2"])
        return found

    def applications(self) -> set[str]:
        return {each["name"] for each in self.serve_config()["applications"]}

    def condition(self, kind: str, of: kinds.Kind = kinds.PORTFOLIO, name: str = "desk") -> tuple[str, str]:
        """Status and reason; ("", "") where it is absent."""
        found = (self.namespace.get(of, name) or {}).get("status", {}).get("conditions", ())
        return next(((each["status"], each["reason"]) for each in found if each["type"] == kind), ("", ""))

    def status(self) -> dict[str, Any]:
        return dict((self.namespace.get(kinds.PORTFOLIO, "desk") or {}).get("status", {}))

    def model(self, name: str) -> dict[str, Any]:
        return next((each for each in self.status().get("models", ()) if each["name"] == name), {})

    def ray_cluster(self) -> dict[str, Any] | None:
        found = self.namespace.list(kinds.RAY_CLUSTER)
        return found[0] if found else None

    def wake_kuberay(self) -> None:
        self.kuberay.scale(1)

    def serve_runs(self, *applications: str, **failed: str) -> None:
        """KubeRay's word: these applications run, those failed."""
        cluster = self.ray_cluster()
        assert cluster is not None
        statuses = {name: {"status": "RUNNING"} for name in applications}
        statuses |= {
            f"model-{name}": {"status": "DEPLOY_FAILED", "message": why} for name, why in failed.items()
        }
        active = {"rayClusterName": cluster["metadata"]["name"], "applicationStatuses": statuses}
        self.kuberay_saw()
        # A merge patch keeps members that it does not name: applications that are gone, and the cluster that came up.
        gone = {"activeServiceStatus": None, "pendingServiceStatus": None}
        self.namespace.merge(kinds.RAY_SERVICE, "desk", {"status": gone}, "status")
        self.namespace.merge(kinds.RAY_SERVICE, "desk", {"status": {"activeServiceStatus": active}}, "status")

    def kuberay_saw(self) -> None:
        """KubeRay has seen the newest RayService."""
        seen = {"observedGeneration": self.service()["metadata"]["generation"]}
        self.namespace.merge(kinds.RAY_SERVICE, "desk", {"status": seen}, "status")

    def gateways_confirm(self, **states: str) -> None:
        """Every gateway replica runs on what the RayService asks for; models are Ready but where it is said."""
        held = self.namespace.get(kinds.SECRET, "desk-gateway")
        assert held is not None
        self.gateways.models = MODELS
        self.gateways.states = states
        self.gateways.token = base64.b64decode(held["data"]["internal-token"]).decode()
        self.gateways.revision = self.service()["metadata"]["annotations"]["folio.dev/revision"]

    def comes_to_rest(self, **states: str) -> None:
        """The gateways follow whatever the RayService asks for, until the portfolio says that they do."""

        def is_programmed() -> bool:
            self.gateways_confirm(**states)
            self.kuberay_saw()
            return self.condition("Programmed")[0] == "True" and self.condition("Reconciling") == ("", "")

        wait_for("the portfolio comes to rest", is_programmed, 45)

    def comes_up(self) -> None:
        """Play what KubeRay and Serve do until all runs."""
        wait_for("the RayCluster appears", self.ray_cluster, 60)
        self.kuberay.scale(0)
        self.serve_runs("gateway")
        wait_for("the models are asked for", lambda: "model-triage" in self.applications())
        self.serve_runs(*self.applications())
        self.gateways_confirm()
        wait_for("all is Ready", lambda: self.condition("ModelsReady") == ("True", "AllReady"))

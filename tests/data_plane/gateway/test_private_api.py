"""What `replicas.py` takes from Ray's private API, on the one version that it is pinned to."""

from __future__ import annotations

import ray
from ray.serve._private.common import DeploymentID, DeploymentTargetInfo, ReplicaID, RunningReplicaInfo
from ray.serve._private.long_poll import LongPollClient, LongPollNamespace
from tests.data_plane.gateway.conftest import Served

from folio_serving.replicas import Address, address_of


def info(port: int | None, node: str = "n1") -> RunningReplicaInfo:
    deployment = DeploymentID(name="Model", app_name="model-x")
    return RunningReplicaInfo(
        replica_id=ReplicaID(unique_id="r1", deployment_id=deployment),
        node_id=node,
        node_ip="10.0.0.7",
        availability_zone=None,
        actor_name="actor",
        max_ongoing_requests=5,
        backend_http_port=port,
    )


def test_the_version_is_the_pinned_one() -> None:
    assert ray.__version__ == "2.60.0", "run this file's tests against the new version, then pin it"


def test_a_replica_tells_its_address() -> None:
    assert address_of(info(30001), "n2") == Address("r1", "10.0.0.7", 30001)
    assert address_of(info(30001), "n1") == Address("r1", "127.0.0.1", 30001)
    assert address_of(info(None), "n1") is None


def test_long_poll_has_what_we_subscribe_with() -> None:
    assert LongPollNamespace.DEPLOYMENT_TARGETS
    assert {"is_available", "running_replicas"} <= set(DeploymentTargetInfo.__dataclass_fields__)
    assert callable(LongPollClient.stop)


def test_the_controller_pushes_a_change_of_replicas_within_a_second_of_it(served: Served) -> None:
    models = {one["name"]: one for one in served.state()["models"]}
    assert models["fast"]["replicas"] == 1
    assert models["idle"]["state"] in ("Idle", "Ready")

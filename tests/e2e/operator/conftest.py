"""One namespace, one portfolio and one operator for all stories of this folder, on KUBECONFIG's cluster."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client
from tests.crds.conftest import _kinds  # noqa: F401 - a fixture
from tests.e2e.kuberay import KubeRay
from tests.e2e.operator.desk import PlayedDesk
from tests.e2e.operator.process import OperatorProcess, PlayedGateways
from tests.e2e.world import Namespace, wait_for

from folio_operator import cluster as kinds


@pytest.fixture(scope="module")
def namespace(api: client.ApiClient, _kinds: None) -> Iterator[Namespace]:  # noqa: F811
    core = client.CoreV1Api(api)
    name = f"folio-e2e-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    found = Namespace(api, name)
    yield found
    core.delete_namespace(name)
    found.take_finalizers(kinds.PORTFOLIO)


@pytest.fixture(scope="module")
def gateways() -> Iterator[PlayedGateways]:
    played = PlayedGateways()
    yield played
    played.server.shutdown()


@pytest.fixture(scope="module")
def operators(
    namespace: Namespace, gateways: PlayedGateways, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[OperatorProcess]]:
    """The operator's replicas that run; whoever ends one starts another."""
    folder: Path = tmp_path_factory.mktemp("operator")
    running = [OperatorProcess(namespace.name, gateways.url, folder)]
    wait_for("the first operator leads", running[0].is_leader, 30)
    yield running
    for each in running:
        if each.process.poll() is None:
            each.stop()


@pytest.fixture(scope="module")
def desk(
    namespace: Namespace,
    gateways: PlayedGateways,
    operators: list[OperatorProcess],
    kuberay: KubeRay,
) -> Iterator[PlayedDesk]:
    """The portfolio of the unit tests, served by a played data plane."""
    played = PlayedDesk(namespace, gateways, kuberay)
    yield played
    played.wake_kuberay()

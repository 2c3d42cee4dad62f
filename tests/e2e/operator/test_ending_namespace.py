"""A namespace that is deleted with a portfolio in it whose Ray keeps its state in Redis, which KubeRay then cannot clean."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kubernetes import client
from tests.e2e.kuberay import KubeRay
from tests.e2e.operator.desk import PlayedDesk
from tests.e2e.operator.process import OperatorProcess, PlayedGateways
from tests.e2e.world import Namespace, wait_for
from tests.unit.operator.desk import PORTFOLIO

from folio_operator import cluster as kinds
from folio_operator.leaving import PATIENCE_SECONDS, REDIS_FINALIZER, RELEASE

WITH_REDIS = {PORTFOLIO: {"ray.redis": {"address": "redis:6379"}, "ray.image": "registry.example/none:1"}}
"""No pod of it can start, and none is needed: KubeRay guards Redis all the same."""
GONE_SECONDS = 60


@pytest.fixture
def leaving(api: client.ApiClient, kuberay: KubeRay, gateways: PlayedGateways) -> Iterator[PlayedDesk]:
    """A portfolio in a namespace that will be deleted."""
    core, name = client.CoreV1Api(api), f"folio-e2e-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    desk = PlayedDesk(Namespace(api, name), gateways, kuberay)
    yield desk
    with suppress(client.ApiException):
        core.delete_namespace(name)
    desk.namespace.take_finalizers(kinds.PORTFOLIO, kinds.RAY_CLUSTER)


@pytest.fixture
def watching(leaving: PlayedDesk, namespace: Namespace, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator that looks after that namespace, and lives in another one."""
    settings = {"FOLIO_OPERATOR_NAMESPACE": namespace.name}
    operator = OperatorProcess(leaving.namespace.name, leaving.gateways.url, tmp_path, settings=settings)
    wait_for("the operator leads", operator.is_leader, 30)
    yield operator
    operator.stop()


def test_it_says_what_holds_it_up_and_goes_once_that_is_allowed(
    leaving: PlayedDesk, watching: OperatorProcess, api: client.ApiClient, figure: Callable[[str], None]
):
    core, namespace = client.CoreV1Api(api), leaving.namespace
    leaving.apply_secret()
    leaving.apply(WITH_REDIS)
    wait_for("KubeRay guards Redis", lambda: REDIS_FINALIZER in finalizers(namespace), 60)

    core.delete_namespace(namespace.name)
    began = time.monotonic()
    wait_for(
        "it says so",
        lambda: leaving.condition("Stalled") == ("True", "RedisNotCleaned"),
        PATIENCE_SECONDS + 30,
    )
    said = time.monotonic() - began
    namespace.merge(kinds.PORTFOLIO, "desk", {"metadata": {"annotations": {RELEASE: "true"}}})
    wait_for("it goes", lambda: namespace.name not in names(core), GONE_SECONDS)
    figure(f"said so after {said:.1f} s, gone {time.monotonic() - began - said:.1f} s after it was allowed")
    assert "because it is being terminated" not in watching.log.read_text()


def finalizers(namespace: Namespace) -> set[str]:
    clusters = namespace.list(kinds.RAY_CLUSTER)
    return {each for cluster in clusters for each in cluster["metadata"].get("finalizers", ())}


def names(core: client.CoreV1Api) -> set[str]:
    return {each.metadata.name for each in core.list_namespace().items}

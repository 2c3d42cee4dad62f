"""How a Ray cluster is seen off: with KubeRay, without it, and without it where that is allowed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.operator.desk import PORTFOLIO
from tests.unit.operator.fake_cluster import ABSENT
from tests.unit.operator.shell import DESK, Shell

from folio_api.meta import Key
from folio_operator import cluster as kinds
from folio_operator.cluster import ApiError
from folio_operator.kuberay import LEASE_NAME
from folio_operator.leaving import FINALIZER, REDIS_FINALIZER, RELEASE

OF_KUBERAY = "ray.io/rayservice-finalizer"
LEASE = Key("kuberay-system", LEASE_NAME)


def kuberay_lives(shell: Shell, renewed_seconds_ago: float = 2) -> None:
    renewed = (shell.clock.now() - timedelta(seconds=renewed_seconds_ago)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": "kuberay-1", "leaseDurationSeconds": 15, "renewTime": renewed}
    shell.cluster.add(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE.name, "namespace": LEASE.namespace},
            "spec": spec,
        }
    )


def kuberay_guards(shell: Shell, *others: str) -> None:
    """KubeRay's finalizers are on the RayService and its RayCluster, as 1.6 with Redis puts them."""
    shell.cluster.edit(kinds.RAY_SERVICE, DESK, "metadata.finalizers", [OF_KUBERAY, *others])
    cluster = Key("bank", "desk-x")
    owner = {"kind": "RayService", "name": "desk", "uid": shell.service()["metadata"]["uid"]}
    shell.cluster.edit(kinds.RAY_CLUSTER, cluster, "metadata.ownerReferences", [owner])


def finalizers(shell: Shell) -> list[str]:
    return shell.cluster.one(kinds.PORTFOLIO, "desk")["metadata"].get("finalizers", [])


async def test_a_portfolio_has_a_finalizer_exactly_while_it_has_a_ray_service(shell: Shell):
    await shell.pass_over()
    shell.write()
    await shell.pass_over()
    assert finalizers(shell) == [FINALIZER]

    shell.write({PORTFOLIO: {"suspend": True}})
    await shell.pass_over()
    await shell.pass_over()
    assert finalizers(shell) == []


async def test_a_portfolio_that_never_ran_is_gone_at_once():
    shell = Shell()  # its Secret is missing
    shell.write()
    await shell.pass_over()
    assert finalizers(shell) == []

    shell.cluster.end(kinds.PORTFOLIO, DESK)
    assert "desk" not in shell.cluster.names(kinds.PORTFOLIO)


async def test_with_kuberay_the_portfolio_goes_once_its_ray_service_has(settled: Shell):
    kuberay_lives(settled)
    kuberay_guards(settled)
    settled.cluster.end(kinds.PORTFOLIO, DESK)
    assert await settled.pass_over() == 5.0
    assert settled.condition("Ready") == ("False", "Deleting")
    assert settled.condition("Reconciling") == ("True", "Deleting")

    settled.cluster.remove(kinds.RAY_CLUSTER, Key("bank", "desk-x"))
    settled.cluster.remove(kinds.RAY_SERVICE, DESK)
    assert await settled.pass_over() is None
    assert "desk" not in settled.cluster.names(kinds.PORTFOLIO)


async def test_a_living_kuberay_is_never_overruled(settled: Shell):
    settled.release(allowed=True)
    kuberay_guards(settled)
    settled.cluster.end(kinds.PORTFOLIO, DESK)
    await settled.pass_over()
    settled.clock.seconds += 300
    kuberay_lives(settled)
    await settled.pass_over()

    assert settled.service()["metadata"]["finalizers"] == [OF_KUBERAY]
    assert settled.condition("Programmed") == ("False", "Deleting")
    assert "KubeRay lives and has not ended RayService desk" in settled.message("Programmed")


@pytest.mark.parametrize("lease", ["missing", "stale"])
async def test_without_kuberay_the_portfolio_says_so_after_a_minute(settled: Shell, lease: str):
    kuberay_guards(settled)
    settled.cluster.end(kinds.PORTFOLIO, DESK)
    await settled.pass_over()
    settled.clock.seconds += 59
    await settled.pass_over()
    assert settled.condition("Stalled") == ("", "")

    settled.clock.seconds += 2
    if lease == "stale":
        kuberay_lives(settled, renewed_seconds_ago=61)
    await settled.pass_over()
    assert settled.condition("Stalled") == ("True", "KubeRayAbsent")
    assert RELEASE in settled.message("Stalled")
    assert settled.service()["metadata"]["finalizers"] == [OF_KUBERAY]


@pytest.mark.parametrize("by", ["annotation", "setting"])
async def test_where_it_is_allowed_kuberays_finalizers_go_and_no_others(settled: Shell, by: str):
    kuberay_guards(settled, "audit.example/keep")
    settled.release(allowed=by == "setting")
    if by == "annotation":
        settled.cluster.edit(kinds.PORTFOLIO, DESK, "metadata.annotations", {RELEASE: "true"})
    settled.cluster.end(kinds.PORTFOLIO, DESK)
    await settled.pass_over()
    settled.clock.seconds += 61
    await settled.pass_over()

    assert settled.service()["metadata"]["finalizers"] == ["audit.example/keep"]
    told = [each for (kind, _), each in settled.cluster.objects.items() if kind is kinds.EVENT]
    (event,) = [each for each in told if each["reason"] == "ReleasedWithoutKubeRay"]
    assert f"took {OF_KUBERAY} off the RayService desk" in event["note"]

    settled.cluster.edit(kinds.RAY_SERVICE, DESK, "metadata.finalizers", [])
    settled.cluster.remove(kinds.RAY_CLUSTER, Key("bank", "desk-x"))
    await settled.pass_over()
    assert "desk" not in settled.cluster.names(kinds.PORTFOLIO)


async def test_a_ray_cluster_that_outlives_its_service_is_waited_for_and_released(settled: Shell):
    kuberay_guards(settled)
    settled.release(allowed=True)
    cluster = Key("bank", "desk-x")
    settled.cluster.edit(kinds.RAY_CLUSTER, cluster, "metadata.finalizers", ["ray.io/gcs-ft-redis-cleanup"])
    settled.cluster.end(kinds.PORTFOLIO, DESK)
    settled.cluster.remove(kinds.RAY_SERVICE, DESK)
    settled.cluster.end(kinds.RAY_CLUSTER, cluster)
    assert await settled.pass_over() == 5.0
    settled.clock.seconds += 61
    await settled.pass_over()

    assert settled.cluster.names(kinds.RAY_CLUSTER) == set()
    await settled.pass_over()
    assert "desk" not in settled.cluster.names(kinds.PORTFOLIO)


async def test_what_a_watch_missed_does_not_hold_a_portfolio(settled: Shell):
    """KubeRay's kinds were uninstalled: no watch tells that their objects went."""
    service, cluster = settled.service(), settled.cluster.one(kinds.RAY_CLUSTER, "desk-x")
    del settled.cluster.objects[kinds.RAY_SERVICE, DESK]
    del settled.cluster.objects[kinds.RAY_CLUSTER, Key("bank", "desk-x")]
    settled.cluster.end(kinds.PORTFOLIO, DESK)
    await settled.pass_over()

    assert "desk" not in settled.cluster.names(kinds.PORTFOLIO)
    assert not settled.store.put(service)
    assert cluster


async def test_a_lease_that_may_not_be_read_proves_nothing(settled: Shell):
    kuberay_guards(settled)
    settled.release(allowed=True)
    settled.cluster.refused["get", "Lease"] = ApiError(403, "cannot get resource leases")
    settled.cluster.end(kinds.PORTFOLIO, DESK)
    await settled.pass_over()
    settled.clock.seconds += 600
    await settled.pass_over()

    assert settled.service()["metadata"]["finalizers"] == [OF_KUBERAY]
    assert settled.condition("Stalled") == ("", "")


async def test_what_may_not_be_deleted_is_a_condition(settled: Shell):
    settled.cluster.refused["delete", "RayService"] = ApiError(403, "cannot delete resource rayservices")
    settled.cluster.end(kinds.PORTFOLIO, DESK)
    await settled.pass_over()

    assert settled.condition("Stalled") == ("True", "Forbidden")


async def test_suspend_waits_and_releases_as_a_deletion_does(settled: Shell):
    kuberay_guards(settled)
    settled.write({PORTFOLIO: {"suspend": True}})
    assert await settled.pass_over() == 5.0
    assert settled.condition("Reconciling") == ("True", "Deleting")
    settled.clock.seconds += 61
    await settled.pass_over()
    assert settled.condition("Stalled") == ("True", "KubeRayAbsent")

    settled.cluster.edit(kinds.RAY_SERVICE, DESK, "metadata.finalizers", ABSENT)
    settled.cluster.remove(kinds.RAY_CLUSTER, Key("bank", "desk-x"))
    assert await settled.pass_over() is None
    assert settled.condition("Ready") == ("False", "Suspended")
    assert settled.condition("Stalled") == ("", "")


async def test_other_portfolios_of_a_policy_do_not_wait_for_one_that_leaves(settled: Shell):
    kuberay_guards(settled)
    settled.cluster.end(kinds.PORTFOLIO, DESK)
    await settled.pass_over()

    assert settled.condition("Programmed", kinds.POLICY, "default") == ("Unknown", "Unused")


async def test_a_ray_service_that_kuberay_does_not_look_at_is_told_after_a_minute(shell: Shell):
    shell.write()
    assert await shell.pass_over() == 15.0
    assert shell.condition("Stalled") == ("", "")
    shell.clock.seconds += 61
    await shell.pass_over()
    assert shell.condition("Stalled") == ("True", "KubeRayAbsent")

    shell.clock.seconds += 11
    kuberay_lives(shell)
    await shell.pass_over()
    assert shell.condition("Stalled") == ("", "")


async def test_events_that_a_namespace_takes_no_more_are_no_warnings(
    settled: Shell, caplog: pytest.LogCaptureFixture
):
    kuberay_guards(settled)
    settled.cluster.end(kinds.PORTFOLIO, DESK)
    settled.cluster.ending.add("bank")
    before = settled.cluster.names(kinds.EVENT)
    await settled.pass_over()

    assert settled.condition("Programmed") == ("False", "Deleting")
    assert settled.cluster.names(kinds.EVENT) == before
    assert not caplog.records


async def test_events_that_may_not_be_written_are_warnings(settled: Shell, caplog: pytest.LogCaptureFixture):
    kuberay_guards(settled)
    settled.cluster.refused["create", "Event"] = ApiError(403, "cannot create resource events")
    settled.cluster.end(kinds.PORTFOLIO, DESK)
    await settled.pass_over()

    assert "cannot create resource events" in caplog.text


async def outlasted_in_an_ending_namespace(shell: Shell, *, lives: bool = True) -> None:
    """The namespace goes; KubeRay lives, with its Lease or without one, and can make no Job that cleans Redis."""
    kuberay_guards(shell)
    cluster = Key("bank", "desk-x")
    shell.cluster.edit(
        kinds.RAY_CLUSTER, cluster, "metadata.finalizers", [REDIS_FINALIZER, "audit.example/a"]
    )
    shell.cluster.ending.add("bank")
    shell.cluster.end(kinds.PORTFOLIO, DESK)
    shell.cluster.end(kinds.RAY_CLUSTER, cluster)
    await shell.pass_over()
    shell.clock.seconds += 61
    if lives:
        kuberay_lives(shell)


@pytest.mark.parametrize("lives", [True, False])
async def test_a_redis_that_an_ending_namespace_keeps_from_being_cleaned_is_told(settled: Shell, lives: bool):
    await outlasted_in_an_ending_namespace(settled, lives=lives)
    await settled.pass_over()

    assert settled.condition("Stalled") == ("True", "RedisNotCleaned")
    assert RELEASE in settled.message("Stalled")
    cluster = settled.cluster.one(kinds.RAY_CLUSTER, "desk-x")
    assert cluster["metadata"]["finalizers"] == [REDIS_FINALIZER, "audit.example/a"]


async def test_where_it_is_allowed_the_finalizer_of_redis_goes_and_no_other(settled: Shell):
    settled.release(allowed=True)
    await outlasted_in_an_ending_namespace(settled)
    await settled.pass_over()

    assert settled.cluster.one(kinds.RAY_CLUSTER, "desk-x")["metadata"]["finalizers"] == ["audit.example/a"]
    assert settled.service()["metadata"]["finalizers"] == [OF_KUBERAY], "which KubeRay takes off itself"
    assert settled.condition("Programmed") == ("False", "Deleting")


async def test_in_a_namespace_that_stays_redis_is_kuberays_to_clean(settled: Shell):
    settled.release(allowed=True)
    await outlasted_in_an_ending_namespace(settled)
    settled.cluster.ending.clear()
    events = settled.cluster.names(kinds.EVENT)
    await settled.pass_over()

    finalizers = settled.cluster.one(kinds.RAY_CLUSTER, "desk-x")["metadata"]["finalizers"]
    assert finalizers == [REDIS_FINALIZER, "audit.example/a"]
    assert settled.condition("Stalled") == ("", "")
    assert settled.cluster.names(kinds.EVENT) == events, "what was asked was not written"

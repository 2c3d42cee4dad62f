"""What serves while the newest edit may not: the last good revision, kept by the API server."""

from __future__ import annotations

import pytest
from tests.unit.operator.desk import POLICY, PORTFOLIO
from tests.unit.operator.fake_cluster import ABSENT
from tests.unit.operator.shell import DESK, GHOST, Shell

from folio_api.meta import Key
from folio_operator import cluster as kinds
from folio_operator.children import Installation
from folio_operator.cluster import ApiError

BIGGER_HEAD = {PORTFOLIO: {"ray": {"head": {"resources": {"requests": {"cpu": "2", "memory": "6Gi"}}}}}}


async def test_an_invalid_edit_keeps_the_last_good_and_says_what_is_wrong(settled: Shell):
    before = settled.serve_config()
    settled.write(GHOST)
    await settled.pass_over()

    assert settled.condition("Accepted") == ("False", "UnknownRung")
    assert "ghost" in settled.message("Accepted")
    assert settled.condition("Stalled") == ("True", "UnknownRung")
    assert settled.condition("Ready") == ("True", "Answering")
    assert settled.serve_config() == before


async def test_the_last_good_is_repaired_while_the_newest_is_invalid_even_after_a_restart(settled: Shell):
    before = settled.serve_config()
    settled.write(GHOST)
    settled.cluster.edit(kinds.RAY_SERVICE, DESK, "spec.serveConfigV2", "applications: []")
    settled.start()
    await settled.pass_over()

    assert settled.condition("Accepted") == ("False", "UnknownRung")
    # The applications were taken away, so the gateway is asked for first.
    assert settled.serve_config()["applications"][0] == before["applications"][0]


async def test_a_policy_that_is_deleted_keeps_serving(settled: Shell):
    before = settled.serve_config()
    settled.cluster.remove(kinds.POLICY, Key("bank", "default"))
    await settled.pass_over()

    assert settled.condition("Accepted") == ("False", "PolicyNotFound")
    assert settled.condition("Ready") == ("True", "Answering")
    assert settled.serve_config() == before


async def test_an_invalid_first_edit_creates_nothing(shell: Shell):
    shell.write(GHOST)
    await shell.pass_over()

    assert shell.store.children(DESK) == ()
    assert shell.condition("Ready") == ("False", "UnknownRung")


async def test_what_needs_a_second_cluster_waits_for_approval(settled: Shell):
    before = settled.service()["spec"]["rayClusterConfig"]
    settled.write(BIGGER_HEAD)
    await settled.pass_over()

    assert settled.condition("Stalled") == ("True", "ApprovalRequired")
    assert settled.condition("Programmed") == ("False", "ApprovalRequired")
    assert settled.service()["spec"]["rayClusterConfig"] == before
    plan = settled.cluster.one(kinds.PORTFOLIO, "desk")["status"]["plan"]
    assert plan["effect"] == "NewCluster"
    assert f'rollout.newCluster.approvedPlan: "{plan["id"]}"' in settled.message("Stalled")

    settled.write(
        {
            PORTFOLIO: {
                **BIGGER_HEAD[PORTFOLIO],
                "rollout": {"newCluster": {"strategy": "BlueGreen", "approvedPlan": plan["id"]}},
            }
        }
    )
    await settled.pass_over()
    assert settled.condition("Stalled") == ("", "")
    assert settled.service()["spec"]["rayClusterConfig"] != before
    assert "plan" not in settled.cluster.one(kinds.PORTFOLIO, "desk")["status"]


async def begins_anew(shell: Shell) -> None:
    """The RayService that stands goes, KubeRay's clusters with it, and the wanted one comes."""
    before = shell.service()["metadata"]["uid"]
    await shell.pass_over()
    assert "desk" not in shell.cluster.names(kinds.RAY_SERVICE)
    for name in shell.cluster.names(kinds.RAY_CLUSTER):
        shell.cluster.remove(kinds.RAY_CLUSTER, Key("bank", name))
    await shell.pass_over()
    assert shell.service()["metadata"]["uid"] != before
    assert shell.condition("Stalled") == ("", "")
    shell.cluster.writes.clear()
    await shell.pass_over()
    assert shell.cluster.writes == []


@pytest.mark.parametrize("by", ["the portfolio", "the chart"])
async def test_an_image_that_was_wrong_from_the_start_is_put_right_without_approval(shell: Shell, by: str):
    """Nothing serves that a second cluster would stand beside."""
    shell.write()
    await shell.pass_over()
    shell.cluster.edit(
        kinds.RAY_SERVICE, DESK, "status", {"observedGeneration": 1, "pendingServiceStatus": {"rayClusterName": "desk-p"}}
    )  # fmt: skip
    if by == "the portfolio":
        shell.write({PORTFOLIO: {"ray.image": "folio/serving:right"}})
    else:
        shell.upgrade(Installation(serving_image="folio/serving:right"))
    await begins_anew(shell)

    head = shell.service()["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    assert head["containers"][0]["image"] == "folio/serving:right"


async def test_what_a_predecessor_left_is_waited_for_and_not_begun_anew(shell: Shell):
    shell.write()
    await shell.pass_over()
    shell.cluster.edit(kinds.RAY_SERVICE, DESK, "metadata.ownerReferences.0.uid", "of-a-former-one")
    shell.write({PORTFOLIO: {"ray.image": "folio/serving:right"}})

    with pytest.raises(ApiError, match="it goes with the portfolio of this name that was deleted"):
        await shell.reconciler.reconcile(DESK)


async def test_an_edit_in_place_of_what_never_served_keeps_its_ray_service(shell: Shell):
    shell.write()
    await shell.pass_over()
    before = shell.service()["metadata"]["uid"]
    shell.write({POLICY: {"limits.deadline": "20s"}, PORTFOLIO: {"pools.0.maxWorkers": 2}})
    await shell.pass_over()

    assert shell.service()["metadata"]["uid"] == before


async def test_a_new_cluster_by_recreate_comes_once_the_old_one_has_gone(settled: Shell):
    recreate = {"newCluster": {"strategy": "Recreate"}}
    edit = {**BIGGER_HEAD[PORTFOLIO], "rollout": recreate}
    settled.write({PORTFOLIO: edit})
    await settled.pass_over()
    assert settled.condition("Stalled") == ("True", "ApprovalRequired")
    told = settled.cluster.one(kinds.PORTFOLIO, "desk")["status"]["plan"]
    plan = told["id"]
    assert told["extraGPUs"] == 0
    assert "nothing answers from the end of the running one until it is up" in told["message"]
    assert "beside" not in told["message"]

    settled.write(
        {PORTFOLIO: {**edit, "rollout": {"newCluster": {**recreate["newCluster"], "approvedPlan": plan}}}}
    )
    await begins_anew(settled)
    head = settled.service()["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    assert head["containers"][0]["resources"]["requests"]["cpu"] == "2"


async def test_an_approval_is_used_up_by_the_edit_that_it_was_for(settled: Shell):
    settled.write(BIGGER_HEAD)
    await settled.pass_over()
    plan = settled.cluster.one(kinds.PORTFOLIO, "desk")["status"]["plan"]["id"]
    approved = {"rollout": {"newCluster": {"strategy": "BlueGreen", "approvedPlan": plan}}}
    settled.write({PORTFOLIO: {**BIGGER_HEAD[PORTFOLIO], **approved}})
    await settled.pass_over()
    before = settled.service()["spec"]["rayClusterConfig"]

    settled.write({PORTFOLIO: {"ray": {"image": "folio/serving:other"}, **approved}})
    await settled.pass_over()
    assert settled.condition("Stalled") == ("True", "ApprovalRequired")
    assert settled.service()["spec"]["rayClusterConfig"] == before


async def test_an_earlier_spec_that_comes_back_is_the_newest_revision_again(settled: Shell):
    def newest() -> str:
        kept = [b for (k, _), b in settled.cluster.objects.items() if k is kinds.REVISION]
        return max(kept, key=lambda each: each["revision"])["metadata"]["name"]

    first = newest()
    settled.write({POLICY: {"limits.deadline": "20s"}})
    await settled.pass_over()
    assert newest() != first
    settled.write()
    await settled.pass_over()
    assert newest() == first
    assert len(settled.cluster.names(kinds.REVISION)) == 2


async def test_old_revisions_are_forgotten_beyond_the_limit(settled: Shell):
    for seconds in range(10, 22):
        settled.write({POLICY: {"limits.deadline": f"{seconds}s"}})
        await settled.pass_over()

    limit = 5
    assert len(settled.cluster.names(kinds.REVISION)) <= limit + 1


async def test_an_object_that_the_schema_would_refuse_is_named_and_harms_nothing(settled: Shell):
    settled.cluster.edit(kinds.POLICY, Key("bank", "default"), "spec.unheard", "of")
    settled.cluster.edit(kinds.POLICY, Key("bank", "default"), "metadata.generation", 2)
    await settled.pass_over()
    assert settled.condition("Accepted") == ("False", "Invalid")
    assert "RoutingPolicy/default" in settled.message("Accepted")

    settled.cluster.edit(kinds.PORTFOLIO, DESK, "spec.policyRef", ABSENT)
    settled.cluster.edit(kinds.PORTFOLIO, DESK, "metadata.generation", 2)
    await settled.pass_over()
    assert settled.condition("Stalled") == ("True", "Invalid")
    assert settled.cluster.names(kinds.RAY_SERVICE) == {"desk"}

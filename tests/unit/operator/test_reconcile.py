"""A pass over a portfolio: what it writes, and what it leaves alone."""

from __future__ import annotations

import base64

import pytest
import yaml
from tests.unit.operator.desk import FILE, FRONTIER, PORTFOLIO
from tests.unit.operator.shell import DESK, Shell

from folio_api.meta import Key
from folio_operator import cluster as kinds
from folio_operator.cluster import ApiError


def gateways(shell: Shell) -> tuple[int, int]:
    """Return the least number of gateway replicas that is asked for, and the most that stand on one worker."""
    (deployment,) = shell.serve_config()["applications"][0]["deployments"]
    return deployment["autoscaling_config"]["min_replicas"], deployment["max_replicas_per_node"]


async def test_a_portfolio_gets_all_its_children_owned_and_labelled(shell: Shell):
    shell.write()
    await shell.pass_over()

    uid = shell.cluster.one(kinds.PORTFOLIO, "desk")["metadata"]["uid"]
    children = shell.store.children(DESK)
    assert {each["kind"] for each in children} == {
        "RayService",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "ControllerRevision",
    }
    for child in [*children, *(shell.cluster.one(kinds.SECRET, f"desk-{n}") for n in ("gateway", "models"))]:
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (uid, True)


async def test_the_gateway_comes_first_and_the_models_once_it_runs(shell: Shell):
    shell.write()
    await shell.pass_over()
    assert [each["name"] for each in shell.serve_config()["applications"]] == ["gateway"]

    shell.serve_runs("gateway")
    await shell.pass_over()
    assert {each["name"] for each in shell.serve_config()["applications"]} == {
        "gateway",
        "model-general",
        "model-handbook",
        "model-minilm",
        "model-triage",
    }


async def test_one_gateway_is_enough_to_begin_and_a_lost_one_is_asked_for_again(shell: Shell):
    shell.write()
    await shell.pass_over()
    assert gateways(shell) == (1, 1)
    counted = {"rayClusterStatus": {"desiredCPU": "0", "head": {}}}  # KubeRay's first word, of no cluster yet
    shell.cluster.edit(kinds.RAY_SERVICE, DESK, "status", {"activeServiceStatus": counted})
    await shell.pass_over()
    assert gateways(shell) == (1, 1)

    shell.serve_runs("gateway")
    await shell.pass_over()
    assert gateways(shell) == (2, 1)

    shell.serve_runs()  # the gateway is no longer RUNNING: it lacks a replica
    await shell.pass_over()
    assert gateways(shell) == (2, 1)


async def test_a_ray_service_that_lost_its_label_is_found_again_and_keeps_its_models(settled: Shell):
    """A watch by labels says that it was deleted."""
    service = settled.service()
    settled.store.drop(service)
    with pytest.raises(ApiError):
        await settled.reconciler.reconcile(DESK)
    assert settled.service() == service

    await settled.pass_over()
    assert settled.service()["spec"] == service["spec"]


async def test_a_pass_that_changes_nothing_writes_and_reads_nothing(settled: Shell):
    await settled.pass_over()

    assert settled.cluster.writes == []
    assert settled.cluster.reads == []


async def test_a_portfolio_that_goes_before_its_first_word_is_not_told_again_at_once(shell: Shell):
    shell.write()
    shell.cluster.refused["apply status", "ModelPortfolio"] = ApiError(404, "it is gone", "PATCH")

    assert await shell.reconciler.reconcile(DESK) == 2.0


async def test_a_new_portfolio_is_told_what_becomes_of_it_before_anything_is_made(shell: Shell):
    shell.write()
    after = await shell.reconciler.reconcile(DESK)

    assert after == 0.0, "the rest of its work waits behind what waits already"
    assert [each for each in shell.cluster.writes if "Event" not in each] == [
        "apply ModelPortfolio/desk/status"
    ]
    assert shell.condition("Accepted") == ("True", "Valid")

    shell.cluster.writes.clear()
    await shell.reconciler.reconcile(DESK)
    assert "apply RayService/desk" in shell.cluster.writes
    assert "apply ModelPortfolio/desk/status" not in shell.cluster.writes, "all this was said already"


async def test_what_serves_without_a_status_is_not_told_as_new(settled: Shell):
    """As after a restore from a backup, which brings no status."""
    settled.cluster.edit(kinds.PORTFOLIO, DESK, "status", {})
    settled.start()
    await settled.reconciler.reconcile(DESK)

    assert settled.condition("Ready") == ("True", "Answering")


async def test_children_are_made_without_a_question_each(shell: Shell):
    shell.with_key().write()
    await shell.pass_over()

    assert shell.cluster.reads == ["Secret/frontier", "Service/desk"]


async def test_our_secrets_that_outlived_all_else_keep_their_tokens(settled: Shell):
    """As after a kill between the first Secret and the first child that a watch shows."""
    before = settled.secret("desk-gateway")
    for child in settled.store.children(DESK):
        settled.cluster.remove(kinds.kind_of(child), kinds.key_of(child))
    settled.start()
    with pytest.raises(ApiError):
        await settled.reconciler.reconcile(DESK)
    await settled.reconciler.reconcile(DESK)

    assert settled.secret("desk-gateway") == before
    assert settled.service()


async def test_a_restarted_operator_writes_nothing(settled: Shell):
    settled.start()
    await settled.pass_over()

    assert settled.cluster.writes == []


async def test_the_gateway_is_asked_with_the_token_of_its_secret(settled: Shell):
    token = base64.b64decode(settled.secret("desk-gateway")["internal-token"]).decode()
    assert settled.gateways.asked[-1] == (DESK, token)
    assert settled.secret("desk-models")["internal-token"] == settled.secret("desk-gateway")["internal-token"]


async def test_drift_in_what_is_ours_is_repaired(settled: Shell):
    settled.cluster.edit(kinds.RAY_SERVICE, DESK, "spec.excludeHeadPodFromServeSvc", False)
    settled.cluster.edit(
        kinds.NETWORK_POLICY, Key("bank", "desk-ray"), "spec.podSelector.matchLabels", {"a": "b"}
    )
    await settled.pass_over()

    assert settled.service()["spec"]["excludeHeadPodFromServeSvc"] is True
    assert sorted(settled.cluster.writes) == ["apply NetworkPolicy/desk-ray", "apply RayService/desk"]


async def test_what_others_wrote_beside_ours_survives(settled: Shell):
    settled.cluster.edit(kinds.RAY_SERVICE, DESK, "metadata.annotations", {
        **settled.service()["metadata"]["annotations"], "team.example/note": "mine"
    })  # fmt: skip
    await settled.pass_over()

    assert settled.cluster.writes == []
    settled.write({PORTFOLIO: {"commonMetadata": {"labels": {"team": "new"}}}})
    await settled.pass_over()
    assert settled.service()["metadata"]["annotations"]["team.example/note"] == "mine"


async def test_a_field_that_is_stated_no_longer_goes(settled: Shell):
    settled.write({PORTFOLIO: {"commonMetadata": {"labels": {"team": "desk"}, "annotations": {"a": "b"}}}})
    await settled.pass_over()
    assert settled.cluster.one(kinds.NETWORK_POLICY, "desk-ray")["metadata"]["annotations"]["a"] == "b"

    settled.write()
    await settled.pass_over()
    assert "a" not in settled.cluster.one(kinds.NETWORK_POLICY, "desk-ray")["metadata"]["annotations"]


async def test_what_leaves_the_desired_state_is_deleted(settled: Shell):
    settled.write({PORTFOLIO: {"gateway.minReplicas": 1}})
    await settled.pass_over()

    assert settled.cluster.names(kinds.DISRUPTION_BUDGET) == set()


async def test_a_child_of_somebody_else_is_never_deleted(settled: Shell):
    settled.cluster.add(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "mine", "namespace": "bank", "labels": {"folio.dev/portfolio": "desk"}},
        }
    )
    await settled.pass_over()

    assert "mine" in settled.cluster.names(kinds.NETWORK_POLICY)


async def test_documents_may_come_in_any_order(shell: Shell):
    for document in reversed(list(yaml.safe_load_all(FILE.read_text()))):
        shell.cluster.write(yaml.safe_dump(document))
        await shell.pass_over()
    assert shell.condition("Accepted") == ("True", "Valid")
    assert shell.service()


async def test_a_missing_secret_is_named_and_looked_for_again(shell: Shell):
    shell = Shell()
    shell.write()
    after = await shell.pass_over()
    assert shell.condition("Accepted") == ("False", "SecretNotFound")
    assert after is not None
    assert after <= 6.0

    shell.with_key()
    shell.clock.seconds += after
    await shell.pass_over()
    assert shell.condition("Accepted") == ("True", "Valid")
    assert shell.secret("desk-gateway")["frontier.token"] == "c2VzYW1l"


REDIS = {"address": "redis:6379", "password": {"secretKeyRef": {"name": "redis", "key": "password"}}}


@pytest.mark.parametrize("held", [{}, {"redis": {"other": "eA=="}}])
async def test_a_missing_password_of_redis_is_named_before_a_head_waits_for_it(shell: Shell, held: dict):
    def secret(name: str, **data: str) -> None:
        metadata = {"name": name, "namespace": "bank"}
        shell.cluster.add({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})

    for name, data in held.items():
        secret(name, **data)
    shell.write({PORTFOLIO: {"ray.redis": REDIS}})
    await shell.pass_over()
    assert shell.condition("Stalled") == ("True", "SecretNotFound")
    assert "ray.redis.password: there is no Secret redis with key password" in shell.message("Accepted")
    assert shell.cluster.names(kinds.RAY_SERVICE) == set()

    secret("redis", password="eA==")
    shell.clock.seconds += 900
    await shell.pass_over()
    assert shell.condition("Accepted") == ("True", "Valid")
    assert "redis.password" not in shell.secret("desk-gateway")


async def test_a_missing_config_map_is_named_and_looked_for_again(shell: Shell):
    bundle = {"configMapKeyRef": {"name": "corp-ca", "key": "ca.crt"}}
    shell.write({FRONTIER: {"external.caBundle": bundle}})
    after = await shell.pass_over()
    assert shell.condition("Stalled") == ("True", "ConfigMapNotFound")
    assert "there is no ConfigMap corp-ca with key ca.crt: create it" in shell.message("Accepted")
    assert after is not None

    metadata = {"name": "corp-ca", "namespace": "bank"}
    shell.cluster.add(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": "x"}}
    )
    shell.clock.seconds += after
    await shell.pass_over()
    assert shell.condition("Accepted") == ("True", "Valid")


async def test_a_changed_key_reaches_the_pods_at_the_slow_look_or_when_asked(settled: Shell):
    settled.cluster.edit(kinds.SECRET, Key("bank", "frontier"), "data.token", "bmV3")
    await settled.pass_over()
    assert settled.secret("desk-gateway")["frontier.token"] == "c2VzYW1l"

    settled.cluster.edit(kinds.PORTFOLIO, DESK, "metadata.annotations", {"folio.dev/refresh": "1"})
    await settled.pass_over()
    assert settled.secret("desk-gateway")["frontier.token"] == "bmV3"

    settled.cluster.edit(kinds.SECRET, Key("bank", "frontier"), "data.token", "bmV3ZXI=")
    settled.clock.seconds += 900
    await settled.pass_over()
    assert settled.secret("desk-gateway")["frontier.token"] == "bmV3ZXI="


async def test_a_portfolio_that_is_gone_is_forgotten_without_a_write(settled: Shell):
    settled.cluster.remove(kinds.PORTFOLIO, DESK)
    assert await settled.pass_over() is None

    assert settled.condition("Programmed", kinds.POLICY, "default") == ("Unknown", "Unused")
    assert all("desk" not in each for each in settled.cluster.writes)


def children(shell: Shell) -> list[tuple[kinds.Kind, Key]]:
    return [slot for slot, body in shell.cluster.objects.items() if body["metadata"].get("ownerReferences")]


@pytest.mark.parametrize("seen", [True, False])
async def test_a_portfolio_that_comes_back_under_its_name_gets_children_of_its_own(
    settled: Shell, seen: bool
):
    """The old ones went with the old portfolio, those too that no watch shows: Secrets."""
    before = settled.secret("desk-gateway")["internal-token"]
    settled.cluster.remove(kinds.PORTFOLIO, DESK)
    for kind, key in children(settled):
        settled.cluster.remove(kind, key)
    if seen:
        await settled.pass_over()
    settled.write()
    await settled.pass_over()

    assert settled.condition("Accepted") == ("True", "Valid")
    assert settled.service()
    assert (settled.secret("desk-gateway")["internal-token"] != before) is seen


async def test_what_the_garbage_collector_has_yet_to_take_is_waited_for(settled: Shell):
    settled.cluster.remove(kinds.PORTFOLIO, DESK)
    settled.write()
    with pytest.raises(ApiError, match="of this name that was deleted") as raised:
        await settled.pass_over()
    assert raised.value.passes_by_itself

    for kind, key in children(settled):
        settled.cluster.remove(kind, key)
    await settled.pass_over()
    assert settled.service()


async def test_suspend_deletes_the_ray_service_and_keeps_the_rest(settled: Shell):
    settled.write({PORTFOLIO: {"suspend": True}})
    await settled.pass_over()
    await settled.pass_over()

    assert settled.cluster.names(kinds.RAY_SERVICE) == set()
    assert settled.cluster.names(kinds.NETWORK_POLICY) == {
        "desk-ray",
        "desk-gateway",
        "desk-egress",
        "desk-head",
    }
    assert settled.condition("Ready") == ("False", "Suspended")
    settled.cluster.writes.clear()
    await settled.pass_over()
    assert settled.cluster.writes == []

    settled.write()
    await settled.pass_over()
    assert settled.cluster.names(kinds.RAY_SERVICE) == {"desk"}
    assert [each["name"] for each in settled.serve_config()["applications"]] == ["gateway"]

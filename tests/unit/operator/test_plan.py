"""What an edit does, told before it is done."""

from __future__ import annotations

import pytest
from tests.unit.operator.desk import CONTRACTS, GENERAL, HANDBOOK, POLICY, PORTFOLIO, REMOVED, rendered

from folio_operator.desired import Circumstances
from folio_operator.plan import Effect, plan
from folio_operator.site import local

POOL = {
    "name": "cpu",
    "minWorkers": 1,
    "maxWorkers": 2,
    "resources": {"limits": {"cpu": "4"}},
    "pricePerHour": "0",
}
IN_PLACE, RESTART, CLUSTER = Effect.IN_PLACE, Effect.RESTARTS_MODEL, Effect.NEW_CLUSTER
EDITS = [
    (IN_PLACE, "policy", "intent bank", {POLICY: {"intents.0.priority": 11}}),
    (IN_PLACE, "policy", "limits", {POLICY: {"limits.deadline": "20s"}}),
    (IN_PLACE, "policy", "intent facts removed", {POLICY: {"intents.1": REMOVED}}),
    (IN_PLACE, "model general", "autoscaling_config.max_replicas", {PORTFOLIO: {"models.0.scaling.maxReplicas": 5}}),
    (IN_PLACE, "model general", "adapter contracts is removed", {PORTFOLIO: {"models.1": REMOVED}, POLICY: {"intents.0.ladder.1": REMOVED}}),
    (IN_PLACE, "model handbook", "is removed", {PORTFOLIO: {"models.4": REMOVED}, POLICY: {"intents.1": REMOVED}}),
    (IN_PLACE, "model second", "is added and starts", {PORTFOLIO: {"models.6": {"name": "second", "modelRef": {"name": "triage"}}}}),
    (IN_PLACE, "model general", "its adapters change", {CONTRACTS: {"adapter.source.uri": "volume://models/contracts-2"}}),
    (IN_PLACE, "pool cpu", "is added", {PORTFOLIO: {"pools.1": POOL}}),
    (IN_PLACE, "pool l4", "maxReplicas 6 -> 5", {PORTFOLIO: {"maxGPUs": 5}}),
    (IN_PLACE, "gateway", "maxReplicas 4 -> 5", {PORTFOLIO: {"gateway.maxReplicas": 5}}),
    (RESTART, "model general", "engine_args.max_model_len", {GENERAL: {"vllm.engineArgs.max_model_len": 4096}}),
    (RESTART, "model general", "placement_group_bundles", {GENERAL: {"vllm.resources.cpu": "2"}}),
    (RESTART, "model handbook", "retriever.top_k", {HANDBOOK: {"retriever.topK": 5}}),
    (CLUSTER, "pool l4", "containers", {PORTFOLIO: {"pools.0.image": "registry/folio-serving:rocm"}}),
    (CLUSTER, "pool l4", "nodeSelector.gpu", {PORTFOLIO: {"pools.0.podTemplate.spec.nodeSelector.gpu": "l40"}}),
    (CLUSTER, "cluster", "rayVersion changes", {PORTFOLIO: {"ray": {"version": "2.61.0"}}}),
    (CLUSTER, "cluster", "gcsFaultToleranceOptions", {PORTFOLIO: {"ray": {"redis": {"address": "redis:6379"}}}}),
    (CLUSTER, "gateway", "volumes", {PORTFOLIO: {"gateway.volumes.1": {"name": "x", "claimName": "x", "purpose": "Source"}}}),
]  # fmt: skip


@pytest.mark.parametrize(("effect", "subject", "says", "edits"), EDITS, ids=lambda value: str(value)[:40])
def test_an_edit_has_its_effect_and_says_on_what(effect, subject, says, edits):
    found = plan(rendered(edits), rendered())

    assert found.effect is effect, found.changes
    assert any(change.subject == subject and says in change.message for change in found.changes), (
        found.changes
    )


def test_an_edit_that_changes_nothing_is_in_place_and_empty():
    found = plan(rendered(), rendered())

    assert (found.changes, found.effect, found.extra_gpus) == ((), IN_PLACE, 0)


def test_the_first_start_is_a_new_cluster():
    assert plan(rendered(), None).effect is CLUSTER


def test_a_second_cluster_is_counted_in_gpus():
    always = {"pools.0.minWorkers": 3}
    edit = {PORTFOLIO: {**always, "pools.0.image": "registry/other:1"}}

    assert plan(rendered(edit), rendered({PORTFOLIO: always})).extra_gpus == 3
    assert (
        plan(rendered({PORTFOLIO: {**always, "maxGPUs": 5}}), rendered({PORTFOLIO: always})).extra_gpus == 0
    )


@pytest.mark.parametrize("edits", [edits for effect, _, _, edits in EDITS if effect is CLUSTER])
def test_on_one_machine_a_change_of_pods_is_in_place_with_a_note(edits):
    here = Circumstances(site=local(8000))

    found = plan(rendered(edits, here), rendered(None, here))

    assert (found.effect, found.extra_gpus) == (IN_PLACE, 0)
    assert any("matters in a cluster only" in change.message for change in found.changes)


def test_the_plan_s_id_is_that_of_the_wanted_cluster():
    other = rendered({PORTFOLIO: {"pools.0.image": "registry/other:1"}})
    policy = rendered({POLICY: {"limits.deadline": "20s"}})

    assert plan(policy, rendered()).id == plan(rendered(), rendered()).id
    assert plan(other, rendered()).id != plan(rendered(), rendered()).id


def test_a_restart_says_what_happens_meanwhile():
    edit = {GENERAL: {"vllm.engineArgs.max_model_len": 4096}}
    recreate = {PORTFOLIO: {"models.0.updateStrategy": {"type": "Recreate"}}}

    (surging,) = _restarts(plan(rendered(edit), rendered()))
    (stopping,) = _restarts(plan(rendered({**edit, **recreate}), rendered(recreate)))

    assert "a new replica is up before an old one stops" in surging
    assert "the next rung stands in" in stopping


def _restarts(found):
    return [change.message for change in found.changes if change.effect is RESTART]

"""What is said where KubeRay says nothing of the applications of the cluster that serves: a second one comes up,
or the head is lost.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.operator.desk import desk
from tests.unit.operator.test_status import REVISION, model, observed

from folio_operator.last_failure import last_failures
from folio_operator.obstacles import Obstacle
from folio_operator.status import status
from folio_operator.world import Application, Observed


def silent(seen: Observed, **more: Any) -> Observed:
    """KubeRay says nothing of the applications of the cluster that serves."""
    return replace(seen, applications={}, **more)


def test_where_kuberay_says_nothing_of_applications_the_gateways_are_believed():
    found = status(desk(), silent(observed()), REVISION)

    assert {each.status for each in found.findings} == {"True"}
    assert {each.state for each in found.models} == {"Ready"}


def test_beside_a_second_cluster_all_is_as_it_is_but_not_programmed():
    found = status(desk(), silent(observed(), coming={}), REVISION)

    assert {(each.state, each.reason) for each in found.models} == {("Ready", "")}
    assert {each.type: each.reason for each in found.findings if each.status != "True"} == {
        "Programmed": "NewClusterStarting"
    }


def test_an_edit_that_only_the_second_cluster_has_says_nothing_of_models_that_answer():
    blocked = {"pool-gpu": Obstacle("pool-gpu", "Unschedulable", "2 GPUs are missing")}
    seen = silent(observed(revisions=("old", "old")), blocked=blocked, coming={})
    found = status(desk(), seen, REVISION)

    assert {(each.state, each.reason) for each in found.models} == {("Ready", "")}
    assert found.finding("Ready").status == "True"
    assert "2 GPUs are missing" in found.finding("Programmed").message


def test_what_keeps_the_second_cluster_from_taking_over_is_told():
    failed = Application(
        "model-general", "DEPLOY_FAILED", message="Traceback:\n  x\nValueError: no such dtype"
    )
    found = status(desk(), silent(observed(), coming={"model-general": failed}), REVISION).finding(
        "Programmed"
    )

    assert found.reason == "NewClusterFailed"
    assert "model-general: ValueError: no such dtype" in found.message


def test_what_fails_in_the_second_cluster_is_told_where_the_first_is_gone():
    failed = Application("model-general", "DEPLOY_FAILED", message="ValueError: no such dtype")
    found = status(desk(), Observed(coming={"model-general": failed}), REVISION)

    assert found.finding("Programmed").reason == "NewClusterFailed"
    assert found.finding("Ready").reason == "NoGateway"
    assert (
        next(each for each in found.models if each.name == "general").message == "ValueError: no such dtype"
    )


def test_beside_a_second_cluster_a_model_that_failed_keeps_its_cause():
    failed = {"name": "triage", "state": "Failed", "reason": "DeployFailed", "message": "ValueError: no file"}
    seen = silent(observed({"triage": "Pending"}), coming={}, last_failures=last_failures([failed]))

    assert "ValueError: no file" in model("triage", seen).message

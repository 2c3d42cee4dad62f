"""What is rendered, and what must never change in it unnoticed."""

from __future__ import annotations

import pytest
import yaml
from tests.unit.operator import golden
from tests.unit.operator.desk import (
    FRONTIER,
    GENERAL,
    HANDBOOK,
    POLICY,
    PORTFOLIO,
    REMOVED,
    desk,
    owned,
    rendered,
)

from folio_api.spec import ModelSpec
from folio_api.table import GatewayConfig
from folio_operator import site
from folio_operator.children import Installation
from folio_operator.copies import Copy
from folio_operator.desired import Circumstances, desired
from folio_operator.groups import LiveGroup, pool_maxima, worker_groups
from folio_operator.plan import cluster_digest
from folio_operator.pods import merged

POOL = {
    "name": "h100",
    "minWorkers": 1,
    "maxWorkers": 2,
    "resources": {"limits": {"nvidia.com/gpu": 4}},
    "pricePerHour": "12",
}


@pytest.mark.parametrize("name", sorted(golden.golden()))
def test_the_render_equals_its_golden_file(name: str):
    held = (golden.FOLDER / name).read_text()

    assert golden.golden()[name] == held, "run `python -m tests.unit.operator.golden` and read the difference"


def test_no_golden_file_is_left_over():
    assert {path.name for path in golden.FOLDER.iterdir()} == set(golden.golden())


def test_the_same_portfolio_renders_the_same_in_any_order():
    models = [{"name": "frontier"}, {"name": "handbook", "clearances": ["pii"]}]
    one = rendered({PORTFOLIO: {"models.4": models[1], "models.5": models[0]}})
    other = rendered({PORTFOLIO: {"models.4": models[0], "models.5": models[1]}})

    assert one == other


def test_every_application_reads_back_as_what_the_data_plane_takes():
    for application in rendered().serve_config["applications"]:
        deployment = application["deployments"][0]
        if application["name"] == "gateway":
            config = GatewayConfig.model_validate(deployment["user_config"])
            assert config.active.revision == config.active.digest()
        else:
            assert f"model-{ModelSpec.model_validate(application['args']).name}" == application["name"]


def test_autoscaling_is_always_there_and_no_queue_is_endless():
    for application in rendered().serve_config["applications"]:
        (deployment,) = application["deployments"]
        assert deployment["autoscaling_config"]["max_replicas"] >= 1
        assert deployment["max_queued_requests"] > 0


@pytest.mark.parametrize(
    ("obj", "path", "value"),
    [
        (PORTFOLIO, "models.0.scaling.maxReplicas", 5),
        (PORTFOLIO, "models.0.scaling.maxQueuedRequests", 5),
        (PORTFOLIO, "models.0.drainTimeout", "1m"),
        (POLICY, "limits.deadline", "20s"),
        (FRONTIER, "external.model", "big-2"),
    ],
)
def test_what_can_be_tuned_never_changes_arguments(obj: str, path: str, value: object):
    before, after = rendered(), rendered({obj: {path: value}})

    assert _arguments(before) == _arguments(after)
    assert before.serve_config != after.serve_config


def test_no_model_key_or_adapter_changes_a_pod_template():
    more = rendered(
        {
            PORTFOLIO: {"models.1": REMOVED, "models.0.scaling": {"minReplicas": 2, "maxReplicas": 3}},
            POLICY: {"intents.0.ladder.1": {"model": "general", "accept": {"signal": "Always"}}},
            GENERAL: {"vllm.source.secretRef": {"name": "hub"}, "vllm.engineArgs.max_num_seqs": 64},
            FRONTIER: {"external.apiKey": {"secretKeyRef": {"name": "other", "key": "token"}}},
        }
    )

    assert _cluster_id(more) == _cluster_id(rendered())


def test_no_secret_stands_in_the_configuration():
    text = yaml.safe_dump(rendered().serve_config)

    assert "frontier.token" in text  # the name of a file, not its content
    assert "apiKey" not in text


def test_a_price_is_the_replica_s_part_of_its_worker():
    prices = {model.name: model.price for model in rendered().table.models}

    assert prices["general"].usd_per_replica_second * 3600 == pytest.approx(0.72)
    assert prices["contracts"] == prices["general"]
    assert prices["general"].device == "gpu"
    assert (prices["triage"].usd_per_replica_second, prices["triage"].device) == (0, "cpu")
    assert prices["frontier"].usd_per_million_output_tokens == 15


def test_half_a_gpu_costs_half():
    whole, half = rendered(), rendered({GENERAL: {"vllm.gpuFraction": "0.5"}})

    costs = [next(m.price for m in each.table.models if m.name == "general") for each in (whole, half)]
    assert costs[0].usd_per_replica_second == pytest.approx(2 * costs[1].usd_per_replica_second)


@pytest.mark.parametrize(
    ("obj", "path", "value"),
    [
        (GENERAL, "vllm.source.uri", "volume://models/llama-8b-v2"),
        (GENERAL, "vllm.engineArgs.max_model_len", 4096),
        (HANDBOOK, "retriever.topK", 4),
    ],
)
def test_what_answers_differently_has_another_identity(obj: str, path: str, value: object):
    before, after = (
        {m.name: m.identity for m in rendered(e).table.models} for e in ({}, {obj: {path: value}})
    )

    changed = {name for name in before if before[name] != after[name]}
    assert changed == ({"handbook"} if obj == HANDBOOK else {"general", "contracts"})


def test_resources_are_no_part_of_what_answers():
    before, after = rendered(), rendered({GENERAL: {"vllm.resources.cpu": "2"}})

    assert [m.identity for m in before.table.models] == [m.identity for m in after.table.models]


def test_recreate_stops_first_and_rolling_update_surges():
    recreate = rendered({PORTFOLIO: {"models.0.updateStrategy": {"type": "Recreate"}}})

    assert _deployment(recreate, "model-general")["max_surge_percent"] == 0
    assert _deployment(rendered(), "model-general")["max_surge_percent"] == 100


def test_a_nonce_changes_the_arguments_of_its_model_alone():
    retried = rendered(circumstances=Circumstances(nonces={"triage": "1"}))

    assert {n for n, args in _arguments(retried).items() if args != _arguments(rendered())[n]} == {
        "model-triage"
    }


def test_one_machine_differs_from_a_cluster_by_address_and_placement_alone():
    local = rendered(circumstances=Circumstances(site=site.local(9000))).serve_config
    cluster = rendered().serve_config
    placement = {
        "ray_actor_options",
        "placement_group_bundles",
        "placement_group_strategy",
        "max_replicas_per_node",
    }

    assert local.pop("http_options") != cluster.pop("http_options")
    for config in (local, cluster):
        for application in config["applications"]:
            for option in placement:
                application["deployments"][0].pop(option, None)
    assert local == cluster


def test_pools_never_sum_above_the_gpu_ceiling():
    spec = {PORTFOLIO: {"pools.1": POOL, "maxGPUs": 12}}

    assert pool_maxima(desk(spec)) == {"l4": 8, "h100": 1}
    assert pool_maxima(desk({PORTFOLIO: {"pools.1": POOL, "maxGPUs": 16}})) == {"l4": 8, "h100": 2}
    assert pool_maxima(desk({PORTFOLIO: {"maxGPUs": REMOVED}})) == {"l4": 8}


def test_groups_keep_the_live_order_and_the_autoscaler_s_counts():
    first = worker_groups(desk({PORTFOLIO: {"pools.1": POOL, "maxGPUs": 16}}), Installation())
    live = [LiveGroup(first[2], 2), LiveGroup(first[0], 3), LiveGroup(first[1], 5)]

    groups = worker_groups(
        desk({PORTFOLIO: {"pools.1": {**POOL, "name": "h200"}, "maxGPUs": 16}}), Installation(), live
    )

    assert [(g["groupName"], g["replicas"], g["maxReplicas"]) for g in groups] == [
        ("h100", 0, 0),
        ("gateway", 3, 4),
        ("l4", 5, 8),
        ("h200", 1, 2),
    ]


def test_each_reader_is_given_only_the_keys_that_it_needs():
    wanted = rendered({GENERAL: {"vllm.source.secretRef": {"name": "hub"}}})

    assert wanted.copies == (Copy("gateway", "frontier", "token"), Copy("models", "hub", None))
    assert [copy.file for copy in wanted.copies] == ["frontier.token", "hub.*"]


def test_children_belong_to_the_portfolio_and_carry_the_common_metadata():
    for child in desired(owned(desk()), Circumstances()).manifests:
        assert child["metadata"]["ownerReferences"][0]["uid"] == "7d2c"
        assert child["metadata"]["labels"]["team"] == "desk"


def test_a_pod_template_adds_labels_and_cannot_take_its_pods_from_under_their_network_policies():
    theirs = {"folio.dev/portfolio": "", "folio.dev/role": "x", "team": "a"}
    edits = {PORTFOLIO: {"gateway.podTemplate": {"metadata": {"labels": theirs}}}}
    groups = rendered(edits).ray_service["spec"]["rayClusterConfig"]["workerGroupSpecs"]

    assert groups[0]["template"]["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "folio",
        "folio.dev/portfolio": "desk",
        "folio.dev/role": "gateway",
        "team": "a",
    }


def test_a_partial_pod_template_is_merged_by_the_names_of_its_parts():
    ours = {
        "spec": {"containers": [{"name": "ray-worker", "env": [{"name": "A", "value": "1"}]}], "volumes": []}
    }
    theirs = {
        "spec": {
            "containers": [{"name": "ray-worker", "env": [{"name": "B", "value": "2"}]}, {"name": "sidecar"}],
            "tolerations": [{"key": "gpu"}],
        }
    }

    spec = merged(ours, theirs)["spec"]

    assert [each["name"] for each in spec["containers"]] == ["ray-worker", "sidecar"]
    assert [each["name"] for each in spec["containers"][0]["env"]] == ["A", "B"]
    assert spec["tolerations"] == [{"key": "gpu"}]
    assert spec["volumes"] == []


def _arguments(wanted):
    return {each["name"]: each["args"] for each in wanted.serve_config["applications"]}


def _deployment(wanted, application: str):
    return next(a for a in wanted.serve_config["applications"] if a["name"] == application)["deployments"][0]


def _cluster_id(wanted) -> str:
    return cluster_digest(wanted.ray_service["spec"]["rayClusterConfig"])


def test_budgets_are_rendered_in_one_unit_each_and_in_the_order_of_their_names():
    budgets = [
        {"name": "b", "scope": "Intent", "window": "1h", "limit": {"tokens": 5}, "onExceeded": "Cheapest"},
        {"name": "a", "scope": "Portfolio", "window": "24h", "limit": {"usd": "0.50"}},
    ]
    table = rendered({PORTFOLIO: {"budgets": budgets}}).table
    assert [(each.name, each.unit, each.limit, each.window_seconds) for each in table.budgets] == [
        ("a", "usd", 0.5, 86_400),
        ("b", "tokens", 5, 3600),
    ]
    assert [each.on_exceeded for each in table.budgets] == ["Refuse", "Cheapest"]
    assert table.revision != rendered().table.revision

"""What the chart renders, object by object."""

from __future__ import annotations

import json

import pytest
import yaml
from tests.chart.conftest import CHART, EVERYTHING, EXAMPLES, Helm, Object, RefusedError

from folio_operator.children import Egress
from folio_operator.settings import from_environment

OPERATOR = "folio-operator"


def pods(objects: list[Object]) -> list[Object]:
    """Every pod spec among them, with its name."""
    found = [each["spec"]["template"]["spec"] for each in objects if each["kind"] in {"Deployment", "Job"}]
    return found + [each["spec"] for each in objects if each["kind"] == "Pod"]


def kinds(objects: list[Object]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in objects:
        found.setdefault(each["kind"], []).append(each["metadata"]["name"])
    return found


def environment(deployment: Object) -> dict[str, str]:
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each.get("value", "") for each in container["env"]}


def test_lint_finds_nothing(helm: Helm):
    assert "0 chart(s) failed" in helm.run("lint", "--strict", str(CHART))


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_example_of_values_renders(helm: Helm, values):
    helm.run("lint", "--strict", str(CHART), "--values", str(values))
    assert "Deployment" in kinds(helm.objects(values=[values]))


@pytest.mark.parametrize("options", ["", EVERYTHING, "watchNamespaces={bank,shop}"])
def test_every_pod_is_restricted_and_writes_no_root(helm: Helm, options: str):
    found = pods(helm.objects("--set", options))
    assert len(found) == 3
    for spec in found:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= container["resources"].keys()


def test_definitions_stay_on_uninstall_unless_told_otherwise(helm: Helm):
    def notes(*options: str) -> list[Object | None]:
        found = [each for each in helm.objects(*options) if each["kind"] == "CustomResourceDefinition"]
        return [each["metadata"].get("annotations") for each in found]

    assert notes() == [{"helm.sh/resource-policy": "keep"}] * 4
    assert notes("--set", "crds.keep=false") == [None] * 4
    assert notes("--set", "crds.enabled=false") == []


@pytest.mark.parametrize("path", sorted((CHART / "files/crds").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_definition_is_rendered_as_it_was_generated(helm: Helm, path):
    source = yaml.safe_load(path.read_text())
    rendered = helm.one("CustomResourceDefinition", source["metadata"]["name"])
    assert rendered["spec"] == source["spec"]
    assert rendered["metadata"]["labels"]["app.kubernetes.io/name"] == "folio"


def test_the_operator_is_told_its_settings(helm: Helm):
    told = environment(helm.one("Deployment", OPERATOR))
    assert told["FOLIO_SERVING_IMAGE"] == "folio/serving:0.1.0-vllm"
    assert told["FOLIO_WATCH_NAMESPACE"] == ""
    assert told["FOLIO_KUBERAY_LABELS"] == '{"app.kubernetes.io/component":"kuberay-operator"}'
    assert told["FOLIO_LEASE_NAME"] == OPERATOR


def test_models_run_no_code_and_reach_every_host_unless_the_values_say_otherwise(helm: Helm):
    def allowed(*options: str) -> tuple[str, str]:
        told = environment(helm.one("Deployment", OPERATOR, *options))
        return told["FOLIO_ALLOW_REMOTE_CODE"], told["FOLIO_ALLOWED_HOSTS"]

    assert allowed() == ("false", "*")
    listed = ("--set", "policy.allowedHosts={huggingface.co,*.example.com,fd00::1}")
    assert allowed("--set", "policy.allowRemoteCode=true", *listed) == (
        "true",
        "huggingface.co,*.example.com,fd00::1",
    )
    assert allowed("--set-json", "policy.allowedHosts=[]") == ("false", "")


def test_the_operator_is_told_what_pods_of_portfolios_may_reach(helm: Helm):
    told = environment(helm.one("Deployment", OPERATOR))
    assert (told["FOLIO_EGRESS"], told["FOLIO_EGRESS_ALLOW"]) == ("true", "[]")
    rules = [{"to": [{"ipBlock": {"cidr": "10.7.0.0/16"}}], "ports": [{"protocol": "TCP", "port": 443}]}]
    set_to = f"policy.egress.allow={json.dumps(rules)},networkPolicy.apiServerPorts=[6443]"
    told = environment(
        helm.one("Deployment", OPERATOR, "--set-json", set_to, "--set", "policy.egress.enabled=false")
    )
    found = from_environment(told).installation.egress
    assert found is None
    found = from_environment({**told, "FOLIO_EGRESS": "true"}).installation.egress
    assert found == Egress(allow=tuple(rules), api_server_ports=(6443,))


def test_images_come_from_one_registry_by_tag_or_digest(helm: Helm):
    digest = "sha256:" + "0" * 64
    deployment = helm.one(
        "Deployment",
        OPERATOR,
        "--set",
        f"imageRegistry=registry.example.com/ai/,servingImage.engine=vllm-cpu,image.digest={digest}",
    )
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == f"registry.example.com/ai/folio/operator@{digest}"
    serving = environment(deployment)["FOLIO_SERVING_IMAGE"]
    assert serving == "registry.example.com/ai/folio/serving:0.1.0-vllm-cpu"


def test_cluster_wide_rights_are_a_cluster_role(helm: Helm):
    found = kinds(helm.objects())
    assert "folio-system-folio-operator" in found["ClusterRole"]
    assert found["Role"] == found["RoleBinding"] == ["folio-operator-lease"]


def test_confined_it_has_a_role_in_each_namespace_and_no_cluster_role(helm: Helm):
    objects = helm.objects("--set", "watchNamespaces={bank,shop},rbac.userRoles=false")
    assert not {"ClusterRole", "ClusterRoleBinding"} & kinds(objects).keys()
    roles = [each for each in objects if each["kind"] == "Role" and each["metadata"]["name"] == OPERATOR]
    assert [each["metadata"]["namespace"] for each in roles] == ["bank", "shop"]
    everywhere = helm.one("ClusterRole", "folio-system-folio-operator")["rules"]
    assert roles[0]["rules"] == roles[1]["rules"] == everywhere[:-2]
    assert [each["resources"] for each in everywhere[-2:]] == [["customresourcedefinitions"], ["leases"]]
    bound = [each for each in objects if each["kind"] == "RoleBinding"]
    assert {each["subjects"][0]["namespace"] for each in bound} == {"folio-system"}


def test_kuberays_lease_is_read_by_name(helm: Helm):
    rule = helm.one("ClusterRole", "folio-system-folio-operator")["rules"][-1]
    assert (rule["resourceNames"], rule["verbs"]) == (["ray-operator-leader"], ["get"])
    confined = ("--set", "watchNamespaces={bank},kuberay.leaseRole=true,kuberay.namespace=ray")
    role = helm.one("Role", "folio-system-folio-operator-kuberay", *confined)
    assert role["metadata"]["namespace"] == "ray"
    assert role["rules"] == [rule]


def test_no_role_has_a_wildcard_or_sees_secrets_by_list(helm: Helm):
    for options in ("", "watchNamespaces={bank}"):
        roles = [each for each in helm.objects("--set", options) if each["kind"] in {"Role", "ClusterRole"}]
        assert len(roles) >= 5
        for rule in [rule for role in roles for rule in role["rules"]]:
            assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert "secrets" not in rule["resources"] or not {"list", "watch"} & set(rule["verbs"])


def test_a_tuner_writes_policies_alone(helm: Helm):
    rules = helm.one("ClusterRole", "folio-tuner")["rules"]
    assert {each for rule in rules for each in rule["resources"]} == {
        "routingpolicies",
        "routingpolicies/status",
    }
    editor = helm.one("ClusterRole", "folio-editor")
    assert {"create", "delete"} <= set(editor["rules"][0]["verbs"])
    assert len(editor["rules"][0]["resources"]) == 4
    viewer = helm.one("ClusterRole", "folio-viewer")
    assert {verb for rule in viewer["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}


def test_user_roles_join_kubernetes_own_only_if_told(helm: Helm):
    def joins(role: str, *options: str) -> set[str]:
        labels = helm.one("ClusterRole", role, *options)["metadata"]["labels"]
        return {each.rpartition("-")[2] for each in labels if each.startswith("rbac.")}

    assert joins("folio-viewer") == {"view"}
    assert joins("folio-editor") == {"edit", "admin"}
    assert joins("folio-tuner") == joins("folio-viewer", "--set", "rbac.aggregate=false") == set()


def test_the_network_policy_opens_health_and_what_the_operator_asks(helm: Helm):
    policy = helm.one("NetworkPolicy", OPERATOR)["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [each["port"] for each in policy["ingress"][0]["ports"]] == [8080]
    assert [[each["port"] for each in rule["ports"]] for rule in policy["egress"]] == [
        [53, 53],
        [443, 6443],
        [8000],
    ]
    off = kinds(helm.objects("--set", "networkPolicy.enabled=false"))
    assert "NetworkPolicy" not in off


@pytest.mark.parametrize(("options", "told"), [("", "Refuse"), ("uninstall.portfolios=Release", "Release")])
def test_an_uninstall_asks_the_operators_image_before_anything_is_deleted(
    helm: Helm, options: str, told: str
):
    job = helm.one("Job", "folio-uninstall", "--set", options)
    notes = job["metadata"]["annotations"]
    assert notes["helm.sh/hook"] == "pre-delete"
    assert "hook-failed" not in notes["helm.sh/hook-delete-policy"], "its log says why"
    assert notes["helm.sh/hook-output-log-policy"] == "hook-failed"
    assert job["spec"]["backoffLimit"] == 0
    pod, operator = job["spec"]["template"], helm.one("Deployment", OPERATOR)
    (container,) = pod["spec"]["containers"]
    assert container["image"] == operator["spec"]["template"]["spec"]["containers"][0]["image"]
    assert pod["spec"]["serviceAccountName"] == operator["spec"]["template"]["spec"]["serviceAccountName"]
    environment_of_job = environment(job)
    assert environment_of_job["FOLIO_UNINSTALL_PORTFOLIOS"] == told
    shared = environment_of_job.keys() & environment(operator).keys()
    assert {"FOLIO_LEASE_NAME", "FOLIO_WATCH_NAMESPACE"} <= shared
    assert {name: environment_of_job[name] for name in shared} == {
        name: environment(operator)[name] for name in shared
    }


def test_nothing_takes_the_hook_before_an_uninstall_for_an_operator_but_the_network_policy(helm: Helm):
    objects = helm.objects("--set", "replicas=2")
    labels = helm.one("Job", "folio-uninstall")["spec"]["template"]["metadata"]["labels"]
    selectors = {
        "Deployment": lambda spec: spec["selector"]["matchLabels"],
        "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
        "Service": lambda spec: spec["selector"],
    }
    for kind, selector in selectors.items():
        (found,) = [selector(each["spec"]) for each in objects if each["kind"] == kind]
        assert not found.items() <= labels.items(), kind
    selector = helm.one("NetworkPolicy", OPERATOR)["spec"]["podSelector"]
    assert selector["matchLabels"].items() <= labels.items()
    (component,) = selector["matchExpressions"]
    assert labels[component["key"]] in component["values"]


def test_the_lease_and_its_owner_are_met_by_name(helm: Helm):
    rules = helm.one("Role", "folio-operator-lease")["rules"]
    assert [(each["resources"], each.get("resourceNames"), each["verbs"]) for each in rules] == [
        (["leases"], None, ["create"]),
        (["leases"], [OPERATOR], ["get", "update"]),
        (["deployments"], [OPERATOR], ["get"]),
    ]


def test_two_replicas_have_a_disruption_budget_and_one_has_none(helm: Helm):
    assert "PodDisruptionBudget" not in kinds(helm.objects())
    assert kinds(helm.objects("--set", "replicas=2"))["PodDisruptionBudget"] == [OPERATOR]


def test_monitoring_is_off_until_asked_for(helm: Helm):
    assert not {"PodMonitor", "PrometheusRule", "ConfigMap"} & kinds(helm.objects()).keys()
    objects = helm.objects("--set", EVERYTHING)
    found = kinds(objects)
    assert found["PodMonitor"] == found["PrometheusRule"] == [OPERATOR]
    assert found["ConfigMap"] == ["folio-dashboard-gateway", "folio-dashboard-operator"]
    monitor = next(each for each in objects if each["kind"] == "PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["podMetricsEndpoints"][0]["honorLabels"] is True


def test_every_object_is_labelled_as_the_releases(helm: Helm):
    for each in helm.objects("--set", EVERYTHING):
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "folio"
        assert labels["app.kubernetes.io/name"] == "folio"


def test_two_releases_share_no_name(helm: Helm):
    options = ("--set", "crds.enabled=false,rbac.userRoles=false")
    first = helm.objects(*options)
    second = [
        each
        for each in yaml.safe_load_all(
            helm.run("template", "other", str(CHART), "-n", "folio-system", *options)
        )
        if each
    ]
    names = {(each["kind"], each["metadata"]["name"]) for each in first}
    assert not names & {(each["kind"], each["metadata"]["name"]) for each in second}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ("replicas=0", "replicas"),
        ("replica=2", "replica"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("image.digest=sha256:short", "digest"),
        ("servingImage.engine=tgi", "engine"),
        ("watchNamespaces=bank", "watchNamespaces"),
        ("watchNamespaces={Bank}", "watchNamespaces"),
        ("operator.logLevel=loud", "logLevel"),
        ("operator.healthPort=80", "healthPort"),
        ("operator.gatewayUrl=gateway", "gatewayUrl"),
        ("crds.enabled=maybe", "enabled"),
        ("uninstall.portfolios=Delete", "portfolios"),
        ("networkPolicy.apiServerCidrs={everywhere}", "apiServerCidrs"),
        ("podMonitor.interval=often", "interval"),
        ("nodeSelector.zone=1", "nodeSelector"),
        ("kuberay.podLabels=null", "podLabels"),
        ("policy.allowRemoteCode=perhaps", "allowRemoteCode"),
        ("policy.allowedHosts={https://api.example.com}", "allowedHosts"),
        ("policy.allowedHosts=huggingface.co", "allowedHosts"),
        ("policy.egress.enabled=perhaps", "enabled"),
        ("policy.egress.allow[0].from=anybody", "from"),
    ],
)
def test_a_wrong_value_is_refused_by_name(helm: Helm, given: str, field: str):
    with pytest.raises(RefusedError, match=field):
        helm.text("--set", given)

"""12: nobody may do more than they must: the operator, people, pods, portfolios of other namespaces."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from kubernetes import client
from tests.e2e.kuberay import KubeRay
from tests.e2e.stories import light
from tests.e2e.stories.access import NOBODY, Right, Somebody, bound, rights_to
from tests.e2e.stories.release import NAME, NAMESPACE, Release, run
from tests.e2e.stories.story import RESTRICTED, Story
from tests.e2e.world import Namespace, secret, wait_for

from folio_api.crd import DEFINITIONS
from folio_operator import cluster as kinds
from folio_operator.apply import PRUNED
from folio_operator.kuberay import LEASE_NAME

FIRST_REPLICA_PORT = 30000
UNREACHED = 0
"""Nobody listens there, or the cluster enforces NetworkPolicies."""
Figure = Callable[[str], None]
OPERATOR = Somebody.account(NAMESPACE, f"{NAME}-operator")
ALL_FOUR = tuple(definition.plural for definition in DEFINITIONS)
READ, WRITE = ("get", "list", "watch"), ("create", "update", "patch", "delete")
TUNER, EDITOR, VIEWER = Somebody("tuner"), Somebody("editor"), Somebody("viewer")
DANGEROUS = (
    Right("*", "*", "*"),
    *(Right("", "secrets", verb) for verb in ("list", "watch", "update", "delete", "deletecollection")),
    *(Right("", "configmaps", verb) for verb in ("list", "watch", "create", "patch")),
    *(Right("", "pods", verb) for verb in ("get", "create", "patch", "delete")),
    *(Right("", f"pods/{part}", "create") for part in ("exec", "attach", "portforward", "eviction")),
    Right("", "pods/log", "get"),
    Right("", "serviceaccounts", "create"),
    Right("", "serviceaccounts/token", "create"),
    Right("", "services", "create"),
    Right("", "persistentvolumeclaims", "create"),
    *(Right("apps", kind, "create") for kind in ("deployments", "daemonsets", "statefulsets")),
    Right("batch", "jobs", "create"),
    *(Right("ray.io", "rayclusters", verb) for verb in ("create", "delete")),
    Right("ray.io", "rayjobs", "create"),
    *(
        Right("rbac.authorization.k8s.io", kind, verb)
        for kind in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
        for verb in ("create", "patch", "bind", "escalate")
    ),
    *(Right("folio.dev", kind, verb) for kind in ALL_FOUR for verb in ("create", "update", "delete")),
    Right("folio.dev", "routingpolicies", "patch"),
    Right("folio.dev", "specialistmodels", "patch"),
)
OF_THE_CLUSTER = (
    *(Right("", "nodes", verb) for verb in ("get", "list", "patch")),
    Right("", "nodes/proxy", "get"),
    *(Right("", "namespaces", verb) for verb in ("list", "create", "patch", "delete")),
    Right("", "persistentvolumes", "create"),
    *(Right("", kind, "impersonate") for kind in ("users", "groups", "serviceaccounts")),
    Right("apiextensions.k8s.io", "customresourcedefinitions", "patch"),
    Right("admissionregistration.k8s.io", "validatingwebhookconfigurations", "create"),
    Right("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "create"),
    Right("certificates.k8s.io", "certificatesigningrequests/approval", "update"),
)


def of_kind(kind: kinds.Kind, *verbs: str, part: str = "") -> frozenset[Right]:
    return rights_to({(kind.group, kind.plural + part): verbs})


def used() -> frozenset[Right]:
    """Return what the operator's code does to the objects of a namespace, by the lists that it does it by."""
    found = {right for kind in kinds.WATCHED for right in of_kind(kind, "list", "watch")}
    found |= {right for kind in kinds.CHILDREN for right in of_kind(kind, "get", "create", "patch")}
    found |= {right for kind in (*PRUNED, kinds.REVISION) for right in of_kind(kind, "delete")}
    found |= {right for kind in kinds.INPUTS for right in of_kind(kind, "patch", part="/status")}
    found |= of_kind(kinds.PORTFOLIO, "patch")  # its finalizer
    found |= of_kind(kinds.PORTFOLIO, "update", part="/finalizers")
    found |= of_kind(kinds.RAY_CLUSTER, "get", "patch") | of_kind(kinds.SECRET, "get", "create", "patch")
    found |= of_kind(kinds.CONFIG_MAP, "get") | of_kind(kinds.SERVICE, "get")
    return frozenset(found | of_kind(kinds.EVENT, "create"))


WATCHES_KINDS = rights_to({("apiextensions.k8s.io", "customresourcedefinitions"): ("list", "watch")})
ITS_LEASE = frozenset(
    {
        Right("coordination.k8s.io", "leases", "create"),
        *(Right("coordination.k8s.io", "leases", verb, f"{NAME}-operator") for verb in ("get", "update")),
        Right("apps", "deployments", "get", f"{NAME}-operator"),  # the Lease's owner, with which it goes
    }
)
KUBERAYS_LEASE = frozenset({Right("coordination.k8s.io", "leases", "get", LEASE_NAME)})


def named(rights: frozenset[Right]) -> list[str]:
    return sorted(map(str, rights))


@pytest.fixture(scope="module")
def elsewhere(api: client.ApiClient) -> Iterator[Namespace]:
    """A namespace of somebody else, with a Secret and a model."""
    core, name = client.CoreV1Api(api), f"folio-others-{uuid.uuid4().hex[:6]}"
    core.create_namespace({"metadata": {"name": name, "labels": RESTRICTED}})
    found = Namespace(api, name)
    found.apply(secret("theirs", token="their-key-that-nobody-else-may-use"))
    found.apply(light.triage("their-model"))
    yield found
    core.delete_namespace(name)


@pytest.fixture(scope="module")
def people(story: Story) -> Story:
    """The three roles of the chart, and two of Kubernetes' own that they join, each bound to somebody."""
    pairs = ((TUNER, "folio-tuner"), (EDITOR, "folio-editor"), (VIEWER, "folio-viewer"))
    pairs += ((Somebody("admin-of-all"), "edit"), (Somebody("reader-of-all"), "view"))
    bindings = client.RbacAuthorizationV1Api(story.namespace.api)
    for who, role in pairs:
        bindings.create_namespaced_role_binding(story.namespace.name, bound(who, role))
    return story


@pytest.fixture(scope="module")
def confined(story: Story, release: Release, kuberay: KubeRay) -> Iterator[Story]:
    """The operator has rights in the story's namespace alone, and brings everything up with these."""
    lease = ("kuberay.leaseRole=true", f"kuberay.namespace={kuberay.deployment.metadata.namespace}")
    release.install(f"watchNamespaces={{{story.namespace.name}}}", *lease)
    yield story
    release.install()


@pytest.fixture(scope="module")
def desk(confined: Story) -> Story:
    confined.apply(light.everything(confined.client.start_provider()))
    confined.wait_ready("desk")
    return confined


def test_the_operator_may_do_what_it_does_and_nothing_more(
    api: client.ApiClient, story: Story, figure: Figure
):
    here, its_own = (
        OPERATOR.rights(api, story.namespace.name),
        OPERATOR.rights(api, NAMESPACE),
    )
    everywhere = used() | WATCHES_KINDS | KUBERAYS_LEASE

    assert named(everywhere - here) == [], "the operator may not do this"
    assert named(here - everywhere) == [], "the operator has no use for this"
    assert named(its_own ^ (everywhere | ITS_LEASE)) == []
    figure(f"the operator: {len(everywhere)} rights in every namespace, all used by its code, and no other")


def test_dangerous_rights_are_denied_to_the_operator(api: client.ApiClient, story: Story, figure: Figure):
    held = [right for right in DANGEROUS if OPERATOR.may(api, right, story.namespace.name)]
    held += [right for right in (*DANGEROUS, *OF_THE_CLUSTER) if OPERATOR.may(api, right)]
    figure(
        f"asked for {2 * len(DANGEROUS) + len(OF_THE_CLUSTER)} dangerous rights, it was denied all of them"
    )

    assert list(map(str, held)) == []
    assert OPERATOR.may(api, Right("", "secrets", "get"), story.namespace.name), "the review itself works"


@pytest.mark.parametrize(
    ("who", "writes", "reads"),
    [
        (TUNER, ("routingpolicies",), ("routingpolicies",)),
        (EDITOR, ALL_FOUR, ALL_FOUR),
        (VIEWER, (), ALL_FOUR),
    ],
    ids=lambda each: getattr(each, "user", ""),
)
def test_each_role_of_people_has_its_rights_and_no_others(people: Story, figure: Figure, who, writes, reads):
    api, namespace = people.namespace.api, people.namespace.name
    expected = rights_to({("folio.dev", kind): READ for kind in reads})
    expected |= rights_to({("folio.dev", kind): WRITE for kind in writes})
    expected |= rights_to({("folio.dev", f"{kind}/status"): ("get",) for kind in reads})

    assert named(who.rights(api, namespace) ^ expected) == []
    assert who.rights(api, "default") == frozenset()
    figure(f"folio-{who.user}: {len(expected)} rights, where it is bound, and none elsewhere")


def test_kubernetes_own_roles_know_the_kinds_and_tuning_stays_apart(people: Story):
    api, namespace = people.namespace.api, people.namespace.name
    of_edit = Somebody("admin-of-all").rights(api, namespace)
    of_view = Somebody("reader-of-all").rights(api, namespace)

    assert rights_to({("folio.dev", kind): (*READ, *WRITE) for kind in ALL_FOUR}) <= of_edit
    assert {right for right in of_view if right.group == "folio.dev" and right.verb in WRITE} == set()
    assert rights_to({("folio.dev", kind): READ for kind in ALL_FOUR}) <= of_view


def test_a_tuner_writes_a_policy_and_is_refused_all_else(people: Story):
    tuned = Namespace(TUNER.connected(people.namespace.api), people.namespace.name)
    people.namespace.apply(secret("not-for-tuners", token="a-key-that-tunes-nothing"))

    tuned.apply(light.policy(name="tuned"))
    for document in (light.triage("tuned"), light.portfolio("tuned"), secret("tuned")):
        with pytest.raises(client.ApiException) as refused:
            tuned.apply(document)
        assert refused.value.status == 403, document["kind"]
    with pytest.raises(client.ApiException) as refused:
        tuned.get(kinds.SECRET, "not-for-tuners")
    assert refused.value.status == 403
    tuned.delete(kinds.POLICY, "tuned")


def test_confined_the_operator_has_rights_in_its_namespaces_alone(
    api: client.ApiClient, confined: Story, elsewhere: Namespace, kuberay: KubeRay, figure: Figure
):
    assert named(OPERATOR.rights(api, confined.namespace.name) ^ used()) == []
    assert named(OPERATOR.rights(api, NAMESPACE) ^ ITS_LEASE) == []
    assert OPERATOR.rights(api, elsewhere.name) == frozenset()
    assert OPERATOR.rights(api, kuberay.deployment.metadata.namespace) == KUBERAYS_LEASE
    held = [right for right in (*DANGEROUS, *OF_THE_CLUSTER, *used()) if OPERATOR.may(api, right)]
    assert list(map(str, held)) == [], "nothing is its own over the whole cluster"
    figure(f"confined: {len(used())} rights in its namespace, {len(ITS_LEASE)} in its own, none elsewhere")


def test_confined_it_brings_a_portfolio_up_in_a_restricted_namespace(desk: Story, figure: Figure):
    answer = desk.client.chat("desk", "my bicycle", seconds=120)
    assert answer.status == 200, answer.text
    pods = desk.pods("desk")
    for pod in pods:
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, container["name"]
            assert context["capabilities"] == {"drop": ["ALL"]}, container["name"]
    privileged = {"name": "x", "image": "x", "securityContext": {"privileged": True}}
    pod = {"metadata": {"name": "privileged"}, "spec": {"containers": [privileged]}}
    with pytest.raises(client.ApiException) as refused:
        client.CoreV1Api(desk.namespace.api).create_namespaced_pod(desk.namespace.name, pod, dry_run="All")
    assert refused.value.status == 403, "the namespace is not restricted"
    figure(
        f"{len(pods)} pods of Ray run in a restricted namespace, made by an operator that is confined to it"
    )


def test_rays_dashboard_and_gcs_answer_nobody_without_the_token(desk: Story, figure: Figure):
    (head,) = desk.pods("desk", "head")
    host = head["status"]["podIP"]
    dashboard = f"http://{host}:8265/api/serve/applications/"
    answers = [
        desk.client.http(dashboard, headers=headers, timeout=20).status
        for headers in ({}, {"authorization": "Bearer 0123456789abcdef0123456789abcdef"})
    ]
    job = desk.client.http(f"http://{host}:8265/api/jobs/", {"entrypoint": "id"}, timeout=20).status
    ports = run(*inside(desk, "client"), "python", "/scripts/ray_ports.py", host, seconds=60)
    known = run(*inside(desk, head["metadata"]["name"], "ray-head"), "python", "-c", WITH_TOKEN, dashboard)

    figure(
        f"without Ray's token the dashboard says {answers[0]}, with a wrong one {answers[1]}, to a job {job}"
    )
    figure("; ".join(line[:90] for line in ports.splitlines()))
    assert {*answers, job} <= {401, 403, UNREACHED}
    assert [line.split()[:2] for line in ports.splitlines()] == [["6379", "refused:"], ["10001", "refused:"]]
    assert known.strip() == "200", "with the token it answers"


WITH_TOKEN = """
import os, sys, urllib.request
headers = {"authorization": "Bearer " + os.environ["RAY_AUTH_TOKEN"]}
print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=headers), timeout=20).status)
"""


def inside(desk: Story, pod: str, container: str = "") -> tuple[str, ...]:
    which = ("-c", container) if container else ()
    return ("kubectl", "exec", "-n", desk.namespace.name, pod, *which, "--")


def test_replicas_and_the_internal_state_answer_nobody_without_the_portfolios_token(desk: Story):
    (gateway,) = desk.pods("desk", "gateway")
    state = desk.client.http(f"{desk.client.url('desk')}/internal/state", timeout=20)
    host = gateway["status"]["podIP"]
    replicas = {
        port: desk.client.http(f"http://{host}:{port}/readyz", timeout=10).status
        for port in range(FIRST_REPLICA_PORT, FIRST_REPLICA_PORT + 3)
    }

    assert state.status == 404, state.text
    answered = sorted(each for each in replicas.values() if each != UNREACHED)
    assert answered in ([200, 404], []), "one is the gateway's own, one triage's"


def test_the_network_is_closed_by_objects_that_the_api_server_took(desk: Story, figure: Figure):
    found = {each["metadata"]["name"]: each["spec"] for each in desk.namespace.list(kinds.NETWORK_POLICY)}
    assert set(found) == {"desk-gateway", "desk-ray", "desk-egress", "desk-head"}
    assert found["desk-egress"]["policyTypes"] == found["desk-head"]["policyTypes"] == ["Egress"]
    denied = found["desk-egress"]["egress"][2]["to"][0]["ipBlock"]["except"]
    assert {"169.254.0.0/16", "10.0.0.0/8"} <= set(denied)
    figure(f"{len(found)} NetworkPolicies stored; whether anything enforces them is the cluster's matter")


def test_a_portfolio_reaches_neither_secret_nor_model_of_another_namespace(
    desk: Story, elsewhere: Namespace, figure: Figure
):
    ladder = {"defaultLadder": [{"model": "thief"}]}
    desk.apply(light.resource("RoutingPolicy", "thief", ladder))
    thief = light.provider("https://api.example.com/v1", "thief")
    thief["spec"]["external"]["apiKey"] = {"secretKeyRef": {"name": "theirs", "key": "token"}}
    desk.apply(thief)
    stolen = light.portfolio("stolen", policyRef={"name": "thief"}, models=[{"name": "thief"}])
    borrowed = light.portfolio(
        "borrowed",
        policyRef={"name": "thief"},
        models=[{"name": "thief", "modelRef": {"name": "their-model"}}],
    )
    desk.apply(stolen, borrowed)
    desk.wait_condition("stolen", "Accepted", "False", reason="SecretNotFound", seconds=30)
    desk.wait_condition("borrowed", "Accepted", "False", reason="ModelNotFound", seconds=30)

    for written in (
        {"name": "theirs", "key": "token", "namespace": elsewhere.name},
        {"name": f"{elsewhere.name}/theirs", "key": "token"},
    ):
        thief["spec"]["external"]["apiKey"] = {"secretKeyRef": written}
        with pytest.raises(client.ApiException) as refused:
            desk.apply(thief)
        assert 400 <= refused.value.status <= 500, refused.value.reason
    borrowed["spec"]["models"][0]["modelRef"]["namespace"] = elsewhere.name
    with pytest.raises(client.ApiException):
        desk.apply(borrowed)
    assert not [each for each in desk.namespace.list(kinds.RAY_SERVICE) if each["metadata"]["name"] != "desk"]
    for name in ("stolen", "borrowed"):
        desk.delete(kinds.PORTFOLIO, name)
    figure("a Secret and a model of another namespace: SecretNotFound, ModelNotFound, and no field names one")


def test_a_model_runs_no_code_of_its_own_unless_the_installation_lets_it(desk: Story):
    source = {"uri": "file:///models/x"}
    remote = {"vllm": {"source": source, "engineArgs": {"trust_remote_code": True}}}
    desk.apply(
        light.resource("RoutingPolicy", "remote", {"defaultLadder": [{"model": "remote"}]}),
        light.resource("SpecialistModel", "remote", remote),
        light.portfolio("remote", policyRef={"name": "remote"}, models=[{"name": "remote"}]),
    )

    desk.wait_condition("remote", "Accepted", "False", reason="RemoteCodeNotAllowed", seconds=30)
    desk.delete(kinds.PORTFOLIO, "remote")
    wait_for("it is gone", lambda: desk.namespace.get(kinds.PORTFOLIO, "remote") is None)


def test_nobody_in_particular_has_no_rights_in_the_storys_namespace(api: client.ApiClient, story: Story):
    assert not NOBODY.may(api, Right("folio.dev", "modelportfolios", "list"), story.namespace.name)

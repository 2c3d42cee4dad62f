"""What is set up around a measurement and put back after it: our kinds, account, KubeRay's sleep, namespaces.

An operator's own counter knows nothing of the requests that kopf makes. So the operator is a service account
of its own, whose requests the API server's priority and fairness counts, watches included.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import yaml
from bench.operator.api import Api, Json
from bench.operator.fleet import namespace

from folio_operator.cluster import PORTFOLIO

NAME = "folio-bench"
COUNTER = re.compile(
    rf'^apiserver_flowcontrol_dispatched_requests_total{{flow_schema="{NAME}",[^}}]*}} (\S+)$', re.MULTILINE
)
SUBJECT = {"kind": "ServiceAccount", "name": NAME, "namespace": NAME}
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CRDS = Path(__file__).parents[2] / "crds"
SCHEMA = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
BINDING = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


@contextlib.asynccontextmanager
async def definitions(api: Api) -> AsyncIterator[None]:
    """Have our kinds served; those that were not there before go afterwards."""
    present = {each["metadata"]["name"] for each in await api.list(DEFINITIONS)}
    written = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted(CRDS.glob("*.yaml"))]
    missing = [each for each in written if each["metadata"]["name"] not in present]
    names = [each["metadata"]["name"] for each in missing]
    try:
        for each in missing:
            await api.send("POST", DEFINITIONS, each)
        while not all([_is_served(await api.send("GET", f"{DEFINITIONS}/{name}")) for name in names]):
            await asyncio.sleep(0.2)
        yield
    finally:
        for name in names:
            await api.remove(f"{DEFINITIONS}/{name}")
        while {each["metadata"]["name"] for each in await api.list(DEFINITIONS)} & {*names}:
            await asyncio.sleep(0.2)


def _is_served(definition: Json) -> bool:
    conditions = definition.get("status", {}).get("conditions", ())
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


@contextlib.asynccontextmanager
async def account(api: Api, file: Path) -> AsyncIterator[None]:
    """Write the operator's kubeconfig; its account and all namespaces of the bench go afterwards."""
    try:
        await api.create(namespace(NAME))
        for each in _objects():
            await api.create(each)
        await api.kubeconfig_of(NAME, NAME, file)
        yield
    finally:
        for path in (f"{SCHEMA}/{NAME}", f"{BINDING}/{NAME}"):
            await api.remove(path)
        await clear(api)


async def clear(api: Api) -> None:
    """Delete every namespace of the bench, also what an operator that failed has left in it."""
    for each in await _namespaces(api):
        for portfolio in await api.list(
            f"/apis/{PORTFOLIO.api_version}/namespaces/{each}/{PORTFOLIO.plural}"
        ):
            if portfolio["metadata"].get("finalizers"):
                path = f"/apis/{PORTFOLIO.api_version}/namespaces/{each}/{PORTFOLIO.plural}"
                released = {"metadata": {"finalizers": None}}
                await api.merge(f"{path}/{portfolio['metadata']['name']}", released)
        await api.remove(f"/api/v1/namespaces/{each}")
    while left := await _namespaces(api):
        print(f"    namespaces that are going: {', '.join(left)}", flush=True)
        await asyncio.sleep(5)


async def _namespaces(api: Api) -> list[str]:
    names = [each["metadata"]["name"] for each in await api.list("/api/v1/namespaces")]
    return [each for each in names if each == NAME or each.startswith(f"{NAME}-")]


@contextlib.asynccontextmanager
async def kuberay_asleep(api: Api) -> AsyncIterator[None]:
    """Scale KubeRay to nothing, and back as it was."""
    selector = "labelSelector=app.kubernetes.io%2Fcomponent%3Dkuberay-operator"
    found = await api.list(f"/apis/apps/v1/deployments?{selector}")
    before = {_path(each): each["spec"]["replicas"] for each in found}
    try:
        for path in before:
            await api.merge(f"{path}/scale", {"spec": {"replicas": 0}})
        while await api.list(f"/api/v1/pods?{selector}"):
            await asyncio.sleep(0.5)
        yield
    finally:
        for path, replicas in before.items():
            await api.merge(f"{path}/scale", {"spec": {"replicas": replicas}})


def _path(deployment: Json) -> str:
    metadata = deployment["metadata"]
    return f"/apis/apps/v1/namespaces/{metadata['namespace']}/deployments/{metadata['name']}"


async def requests(api: Api) -> int:
    """Return how many requests of the account were ever answered or begun."""
    return int(sum(float(found) for found in COUNTER.findall(await api.text("/metrics"))))


def _objects() -> tuple[Json, ...]:
    rbac = "rbac.authorization.k8s.io"
    rule = {
        "subjects": [{"kind": "ServiceAccount", "serviceAccount": {"name": NAME, "namespace": NAME}}],
        "resourceRules": [
            {
                "verbs": ["*"],
                "apiGroups": ["*"],
                "resources": ["*"],
                "clusterScope": True,
                "namespaces": ["*"],
            }
        ],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
    return (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": NAME}},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [SUBJECT],
        },
        {
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
            "kind": "FlowSchema",
            "metadata": {"name": NAME},
            "spec": {
                "priorityLevelConfiguration": {"name": "workload-low"},
                "matchingPrecedence": 8000,
                "distinguisherMethod": {"type": "ByUser"},
                "rules": [rule],
            },
        },
    )

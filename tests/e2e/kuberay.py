"""KubeRay, which stories put to sleep and wake again."""

from __future__ import annotations

from dataclasses import dataclass

from kubernetes import client
from tests.e2e.world import wait_for

SELECTOR = "app.kubernetes.io/component=kuberay-operator"


@dataclass(frozen=True)
class KubeRay:
    """Its Deployment; whoever scales it down scales it up again."""

    api: client.ApiClient
    deployment: client.V1Deployment

    def scale(self, replicas: int) -> None:
        """Have that many pods of it, and wait until there are."""
        name, namespace = self.deployment.metadata.name, self.deployment.metadata.namespace
        body = {"spec": {"replicas": replicas}}
        client.AppsV1Api(self.api).patch_namespaced_deployment_scale(name, namespace, body)
        core = client.CoreV1Api(self.api)
        wait_for(
            f"KubeRay has {replicas} pods",
            lambda: len(core.list_namespaced_pod(namespace, label_selector=SELECTOR).items) == replicas,
            60,
        )


def installed(api: client.ApiClient) -> KubeRay | None:
    """Return the cluster's KubeRay; its kinds alone do nothing."""
    found = client.AppsV1Api(api).list_deployment_for_all_namespaces(label_selector=SELECTOR)
    return KubeRay(api, found.items[0]) if found.items else None

"""Pod templates of the Ray cluster. They never depend on models: a changed template is a new cluster.

So every pod mounts its secrets and volumes from birth, whatever models it will hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from folio_api.pools import ResourceRequirements, Volume
from folio_operator import effective
from folio_operator.children import MANAGED_BY, PORTFOLIO_LABEL, ROLE_LABEL, Manifest

SECRETS_DIR = "/etc/folio/secrets"
VOLUMES_DIR = "/volumes"
RUN_AS = 1000
SERVE_SWITCHES = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # While a gateway takes an edit Serve leaves it out of HAProxy's list; waiting lets that pass unseen.
    "RAY_SERVE_HAPROXY_BROADCAST_COALESCE_S": "2",
}
"""HAProxy before the replicas, and replicas that listen themselves: the data path that was measured."""
CPU_ENGINE = {"TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
"""There is no compiler in the image, and several replicas share a worker's cores."""
SELECTED_BY = (MANAGED_BY, PORTFOLIO_LABEL, ROLE_LABEL)
"""Labels by which NetworkPolicies, budgets and the operator find pods: nobody's template changes them."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


def pod_template(
    container: Manifest,
    *,
    pod_labels: Mapping[str, str],
    volumes: Sequence[Volume] = (),
    secret: str | None = None,
    over: Mapping[str, Any],
    pod_notes: Mapping[str, str] | None = None,
    asks_kubernetes: bool = False,
) -> Manifest:
    """Return a restricted pod around one container, with the user's partial template merged over it.

    `asks_kubernetes`: whether anything in it needs the token of its service account.
    """
    ours = {
        "metadata": {"labels": dict(pod_labels), **({"annotations": dict(pod_notes)} if pod_notes else {})},
        "spec": {
            "automountServiceAccountToken": asks_kubernetes,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": RUN_AS,
                "fsGroup": RUN_AS,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [*_own_volumes(secret), *(_claim(volume) for volume in volumes)],
        },
    }
    template: Manifest = merged(ours, over)
    kept = {name: value for name, value in pod_labels.items() if name in SELECTED_BY}
    template["metadata"]["labels"] = {**template["metadata"]["labels"], **kept}
    return template


def ray_container(
    name: str,
    image: str,
    resources: ResourceRequirements,
    *,
    volumes: Sequence[Volume] = (),
    with_secrets: bool = True,
    ports: Mapping[str, int] | None = None,
) -> Manifest:
    """Return the container that Ray runs in: no root, no capabilities, nothing writable but /tmp."""
    gpu = any(resource in {**resources.requests, **resources.limits} for resource in effective.GPU_RESOURCES)
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "shm", "mountPath": "/dev/shm"}]  # noqa: S108
    if with_secrets:
        mounts.append({"name": "secrets", "mountPath": SECRETS_DIR})
    container: Manifest = {
        "name": name,
        "image": image,
        "env": [{"name": key, "value": value} for key, value in environment(volumes, gpu=gpu).items()],
        "resources": resources.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        "securityContext": confined(),
        "volumeMounts": [*mounts, *(_mount(volume) for volume in volumes)],
    }
    if ports:
        container["ports"] = [{"name": key, "containerPort": port} for key, port in ports.items()]
    return container


def confined() -> Manifest:
    """Return the security context of every container."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def environment(volumes: Sequence[Volume], *, gpu: bool) -> dict[str, str]:
    """Return what every Ray process of the data plane reads."""
    cache = next((volume for volume in volumes if volume.purpose == "Cache"), None)
    folder = f"{VOLUMES_DIR}/{cache.name}" if cache else "/tmp/cache"  # noqa: S108 - an emptyDir of the pod
    return {
        "HOME": "/tmp",  # noqa: S108 - an emptyDir of the pod
        "FOLIO_SECRETS_DIR": SECRETS_DIR,
        "FOLIO_VOLUMES_DIR": VOLUMES_DIR,
        "FOLIO_CACHE_DIR": folder,
        "HF_HOME": f"{folder}/huggingface",
        **SERVE_SWITCHES,
        **QUIET,
        **({} if gpu else CPU_ENGINE),
    }


def _own_volumes(secret: str | None) -> list[Manifest]:
    own: list[Manifest] = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]
    if secret:
        own.append({"name": "secrets", "secret": {"secretName": secret, "optional": True}})
    return own


def _claim(volume: Volume) -> Manifest:
    return {"name": f"claim-{volume.name}", "persistentVolumeClaim": {"claimName": volume.claim_name}}


def _mount(volume: Volume) -> Manifest:
    mount: Manifest = {"name": f"claim-{volume.name}", "mountPath": f"{VOLUMES_DIR}/{volume.name}"}
    return {**mount, "readOnly": True} if volume.purpose == "Source" else mount


def merged(ours: Any, theirs: Any) -> Any:
    """Return `theirs` over `ours`: maps by key, lists of named entries by name, all else replaced."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        keys = [*ours, *(key for key in theirs if key not in ours)]
        return {key: _either(ours, theirs, key) for key in keys}
    if _is_named(ours) and _is_named(theirs):
        mine = {entry["name"]: entry for entry in ours}
        added = {entry["name"]: entry for entry in theirs}
        return [_either(mine, added, name) for name in [*mine, *(name for name in added if name not in mine)]]
    return theirs


def _either(ours: Mapping[str, Any], theirs: Mapping[str, Any], key: str) -> Any:
    if key in ours and key in theirs:
        return merged(ours[key], theirs[key])
    return ours[key] if key in ours else theirs[key]


def _is_named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, Mapping) and "name" in entry for entry in value)

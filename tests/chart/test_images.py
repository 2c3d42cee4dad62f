"""The images as pods run them: restricted, on a read-only root, with nothing inside that installs or compiles.

Needs them on the nodes: `make test-chart` sees to it. SERVING_ENGINE says of which engines the serving image is there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator

import pytest
from kubernetes import client
from tests.chart.conftest import HERE, VERSION, Object, image_name

ENGINES = os.environ.get("SERVING_ENGINE", "none").split()
OF_ENGINE = {"vllm-cpu": ["vllm", "ray.serve.llm", "folio_serving.engines.vllm.replica"]}
MODULES = {
    image_name("operator"): ["folio_operator.main"],
    **{
        image_name("serving", f"{VERSION}-{engine}"): ["folio_serving.app", *OF_ENGINE.get(engine, [])]
        for engine in ENGINES
    },
}
"""What each image must be able to import."""
MOST_SECONDS = 240


@pytest.fixture
def look_inside(api: client.ApiClient, restricted: str) -> Iterator[Callable[[str], Object]]:
    """Run inside.py in a pod of an image; return what it found."""
    core, name = client.CoreV1Api(api), "inside"

    def look(image: str) -> Object:
        core.create_namespaced_pod(restricted, pod(name, image))
        deadline = time.monotonic() + MOST_SECONDS
        while (state := core.read_namespaced_pod(name, restricted).status).phase not in (
            "Succeeded",
            "Failed",
        ):
            waiting = [each.state.waiting for each in state.container_statuses or () if each.state.waiting]
            assert not any("Image" in each.reason for each in waiting), f"no node has {image}: make images"
            assert time.monotonic() < deadline, state
            time.sleep(0.5)
        said = core.read_namespaced_pod_log(name, restricted)
        assert state.phase == "Succeeded", said
        found: Object = json.loads(said.splitlines()[-1])
        return found

    yield look
    core.delete_namespaced_pod(name, restricted, grace_period_seconds=0)


def pod(name: str, image: str) -> Object:
    container = {
        "name": name,
        "image": image,
        "command": ["python", "-c", (HERE / "inside.py").read_text(), *MODULES[image]],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "3Gi"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {"metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize("image", MODULES)
def test_an_image_runs_without_rights_and_can_change_nothing_of_itself(
    look_inside: Callable[[str], Object], image: str
):
    found = look_inside(image)
    print(f"\n{image}: imports in {found['import_seconds']}")
    assert found["uid"] > 0
    assert found["writable"] == ["/tmp"]
    assert found["installers"] == (["setuptools"] if "-vllm" in image else [])  # vLLM imports it
    assert found["compilers"] == []

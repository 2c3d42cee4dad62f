"""A Redis in the story's namespace, of an image of our own: `scripts/images.sh story-redis`."""

from __future__ import annotations

import pytest
from kubernetes import client
from tests.e2e.stories.asking import SECURE_CONTAINER, SECURE_POD
from tests.e2e.stories.release import REGISTRY, VERSION, waiting
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

NAME, PORT = "redis", 6379
ADDRESS = f"{NAME}:{PORT}"
IMAGE = f"{REGISTRY.rstrip('/')}/folio/story-redis:{VERSION}".removeprefix("/")
START_SECONDS = 90


def start(story: Story) -> None:
    """Start it, and wait until it runs."""
    container = {
        "name": NAME,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": SECURE_CONTAINER,
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": SECURE_POD,
        "containers": [container],
    }
    metadata = {"name": NAME, "labels": {"story": NAME}}
    service = {"selector": {"story": NAME}, "ports": [{"port": PORT, "targetPort": PORT}]}
    story.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    story.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": service})
    core = client.CoreV1Api(story.namespace.api)

    def runs() -> bool:
        return bool(core.read_namespaced_pod(NAME, story.namespace.name).status.phase == "Running")

    try:
        wait_for(f"pod {NAME} runs", runs, START_SECONDS)
    except AssertionError as error:
        why = waiting(core.read_namespaced_pod(NAME, story.namespace.name)).split(": the nodes do not have")[
            0
        ]
        pytest.fail(f"{error}: {why}; is its image there? scripts/images.sh story-redis", pytrace=False)

"""A real API server, named by KUBECONFIG, with Folio's kinds and an empty namespace."""

import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from folio_api.crd import DEFINITIONS
from folio_api.meta import API_VERSION

CRDS = Path(__file__).parents[2] / "crds"
PLURALS = {definition.kind.__name__: definition.plural for definition in DEFINITIONS}
STRICT = (("fieldValidation", "Strict"),)


@dataclass(frozen=True)
class Server:
    """Asks it what it thinks of an object; the answer is what it complains about, or nothing."""

    api: client.ApiClient
    namespace: str

    def dry_run(self, document: dict[str, Any]) -> str:
        return self._send("POST", self._path(document), document, (*STRICT, ("dryRun", "All")))

    def create(self, document: dict[str, Any]) -> str:
        return self._send("POST", self._path(document), document, STRICT)

    def apply(self, document: dict[str, Any], manager: str = "tests") -> str:
        """Server-side, as `kubectl apply --server-side` and GitOps tools do it."""
        path = f"{self._path(document)}/{document['metadata']['name']}"
        query = (*STRICT, ("fieldManager", manager), ("force", "true"))
        return self._send("PATCH", path, document, query, "application/apply-patch+yaml")

    def read(self, document: dict[str, Any]) -> Any:
        """The object as it is stored."""
        name, plural = document["metadata"]["name"], PLURALS[document["kind"]]
        objects = client.CustomObjectsApi(self.api)
        group, version = API_VERSION.split("/")
        return objects.get_namespaced_custom_object(group, version, self.namespace, plural, name)

    def _path(self, document: dict[str, Any]) -> str:
        return f"/apis/{API_VERSION}/namespaces/{self.namespace}/{PLURALS[document['kind']]}"

    def _send(self, verb, path, body, query, content_type="application/json") -> str:
        request = self.api.param_serialize(
            verb,
            path,
            query_params=list(query),
            header_params={"Content-Type": content_type, "Accept": "application/json"},
            body=body if content_type == "application/json" else json.dumps(body),
            auth_settings=["BearerToken"],
        )
        response = self.api.call_api(*request)
        answer = json.loads(response.read())
        return "" if response.status < 300 else str(answer["message"])


@pytest.fixture(scope="session")
def api() -> client.ApiClient:
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG is not set: `make test-crds` starts an API server, or set it to one of yours")
    config.load_kube_config(os.environ["KUBECONFIG"])
    return client.ApiClient()


@pytest.fixture(scope="session")
def _kinds(api: client.ApiClient) -> Iterator[None]:
    """The committed CRDs, as this checkout has them; those that were not there go again."""
    extensions = client.ApiextensionsV1Api(api)
    manifests = [yaml.safe_load((CRDS / definition.file).read_text()) for definition in DEFINITIONS]
    present = {one.metadata.name for one in extensions.list_custom_resource_definition().items}
    for manifest in manifests:
        if manifest["metadata"]["name"] in present:
            extensions.patch_custom_resource_definition(manifest["metadata"]["name"], manifest)
        else:
            extensions.create_custom_resource_definition(manifest)
    for manifest in manifests:
        _wait_until_served(extensions, manifest["metadata"]["name"])
    yield
    for manifest in manifests:
        if manifest["metadata"]["name"] not in present:
            extensions.delete_custom_resource_definition(manifest["metadata"]["name"])


def _wait_until_served(extensions: client.ApiextensionsV1Api, name: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        crd = extensions.read_custom_resource_definition(name)
        if any(one.type == "Established" and one.status == "True" for one in crd.status.conditions or ()):
            return
        time.sleep(0.2)
    pytest.fail(f"{name} was not established within 30 s")


@pytest.fixture(scope="module")
def server(api: client.ApiClient, _kinds: None) -> Iterator[Server]:
    """It goes with its module: an operator that a later test installs would find portfolios in it."""
    core = client.CoreV1Api(api)
    namespace = f"folio-crds-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": namespace}})
    yield Server(api, namespace)
    core.delete_namespace(namespace)

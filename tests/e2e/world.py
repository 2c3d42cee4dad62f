"""What all stories share: a namespace on a real API server, and patience."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml
from kubernetes import client

from folio_operator.cluster import Kind, kind_of

FAST = 15.0
"""Seconds; what takes longer on a machine that does nothing else is broken."""


@dataclass
class Namespace:
    """Objects of one namespace, as JSON."""

    api: client.ApiClient
    name: str

    def apply(self, document: dict[str, Any]) -> dict[str, Any]:
        """As `kubectl apply --server-side`."""
        kind = kind_of(document)
        metadata = {**document["metadata"], "namespace": self.name}
        body = {**document, "metadata": metadata}
        query = (("fieldManager", "people"), ("force", "true"), ("fieldValidation", "Strict"))
        path = f"{self._path(kind)}/{metadata['name']}"
        return self._send("PATCH", path, body, query, "application/apply-patch+yaml")

    def merge(self, kind: Kind, name: str, patch: dict[str, Any], subresource: str = "") -> dict[str, Any]:
        path = f"{self._path(kind)}/{name}" + (f"/{subresource}" if subresource else "")
        return self._send("PATCH", path, patch, (), "application/merge-patch+json")

    def get(self, kind: Kind, name: str) -> dict[str, Any] | None:
        try:
            return self._send("GET", f"{self._path(kind)}/{name}")
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: Kind) -> list[dict[str, Any]]:
        return list(self._send("GET", self._path(kind))["items"])

    def delete(self, kind: Kind, name: str) -> None:
        self._send("DELETE", f"{self._path(kind)}/{name}")

    def take_finalizers(self, *kinds: Kind) -> None:
        """Take the finalizers off all objects of these kinds: who would, is gone, and they would stay for ever."""
        for kind in kinds:
            for each in self.list(kind):
                try:
                    self.merge(kind, each["metadata"]["name"], {"metadata": {"finalizers": None}})
                except client.ApiException as error:
                    if error.status != 404:  # else it has gone by itself
                        raise

    def _path(self, kind: Kind) -> str:
        root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
        return f"{root}/namespaces/{self.name}/{kind.plural}"

    def _send(
        self, verb: str, path: str, body: Any = None, query: Any = (), content: str = "application/json"
    ) -> Any:
        headers = {"Content-Type": content, "Accept": "application/json"}
        plain = json.dumps(body) if "apply" in content else body
        request = self.api.param_serialize(
            verb,
            path,
            query_params=list(query),
            header_params=headers,
            body=plain,
            auth_settings=["BearerToken"],
        )
        response = self.api.call_api(*request)
        answer = json.loads(response.read())
        if response.status >= 300:
            raise client.ApiException(status=response.status, reason=answer.get("message"))
        return answer


def wait_for(what: str, condition: Callable[[], Any], seconds: float = FAST) -> Any:
    """Return what the condition returns once it is true."""
    deadline = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.01)


def documents(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each]


def secret(name: str, **values: str) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}

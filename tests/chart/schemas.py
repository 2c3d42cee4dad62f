"""JSON schemas of everything that an API server serves, for kubeconform: the server's own, no copy of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kubernetes import client

LOCATION = "{{.Group}}_{{.ResourceAPIVersion}}_{{.ResourceKind}}.json"
"""kubeconform's names; to it the core group is called v1, like its version."""
FREE = ("additionalProperties", "x-kubernetes-preserve-unknown-fields")


def write(api: client.ApiClient, folder: Path) -> None:
    """Write a file for each kind; fields that no schema knows are refused."""
    for url in (each["serverRelativeURL"] for each in _get(api, "/openapi/v3")["paths"].values()):
        if not url.startswith(("/openapi/v3/api/", "/openapi/v3/apis/")):
            continue
        schemas = _get(api, url).get("components", {}).get("schemas", {})
        definitions = json.loads(json.dumps(schemas).replace("#/components/schemas/", "#/definitions/"))
        for schema in definitions.values():
            _close(schema)
        for name, schema in definitions.items():
            for each in schema.get("x-kubernetes-group-version-kind", ()):
                group = each["group"] or each["version"]
                file = folder / f"{group}_{each['version']}_{each['kind'].lower()}.json"
                file.write_text(json.dumps({"$ref": f"#/definitions/{name}", "definitions": definitions}))


def _close(schema: Any) -> None:
    """Refuse properties that are not listed, at every depth."""
    if isinstance(schema, list):
        for each in schema:
            _close(each)
    elif isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and not any(key in schema for key in FREE):
            schema["additionalProperties"] = False
        for each in schema.values():
            _close(each)


def _get(api: client.ApiClient, url: str) -> dict[str, Any]:
    path, _, query = url.partition("?")
    pairs = [tuple(each.split("=", 1)) for each in query.split("&") if each]
    request = api.param_serialize(
        "GET",
        path,
        query_params=pairs,
        header_params={"Accept": "application/json"},
        auth_settings=["BearerToken"],
    )
    found: dict[str, Any] = json.loads(api.call_api(*request).read())
    return found

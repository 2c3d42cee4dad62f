"""The Cluster of a real API server: a request a verb, no discovery, server-side apply by one manager."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes.aio import client, config

from folio_api.meta import Key
from folio_operator.children import MANAGED_BY
from folio_operator.cluster import (
    FIELD_MANAGER,
    INPUTS,
    ApiError,
    Body,
    Kind,
    Trace,
    key_of,
    kind_of,
    uid_of,
    version_of,
)

REQUEST_SECONDS = 20.0
PAGE = 500
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

NEVER = "1"
"""A version that no object has: etcd's first. Of an object that exists server-side apply refuses to change
another version than this; one that does not exist has no version, and is created.
"""

Counted = Callable[[str, str, int], None]
"""Told the verb, the plural and the status of every request."""


@dataclass
class KubeCluster:
    """Talks to the API server; `namespaces` confine lists where the operator may see these only."""

    api: client.ApiClient
    namespaces: Sequence[str] = ()
    counted: Counted = lambda *_: None

    async def get(self, kind: Kind, key: Key) -> Body | None:
        try:
            return await self._send("GET", kind, _path(kind, key))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def serves(self, kind: Kind) -> bool:
        """Return whether the API server knows the kind; anybody may ask that."""
        path = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
        try:
            found = await self._send("GET", kind, path)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return any(each["name"] == kind.plural for each in found["resources"])

    async def list(self, kind: Kind) -> Sequence[Body]:
        return [body async for page in self._pages(kind) for body in page]

    async def traces(self, kind: Kind) -> Sequence[Trace]:
        return [_trace(body) async for page in self._pages(kind, METADATA) for body in page]

    async def _pages(self, kind: Kind, accepted: str = JSON) -> AsyncIterator[Sequence[Body]]:
        for each in self.namespaces or (None,):
            async for page in self._pages_in(kind, each, accepted):
                yield page

    async def _pages_in(
        self, kind: Kind, namespace: str | None, accepted: str
    ) -> AsyncIterator[Sequence[Body]]:
        ours = [] if kind in INPUTS else [("labelSelector", f"{MANAGED_BY}=folio")]
        always = [("limit", str(PAGE)), *ours]
        query = always
        while True:
            page = await self._send("GET", kind, _collection(kind, namespace), query, accepted=accepted)
            items = page["items"] or ()  # null, where only metadata was asked for and there is nothing
            yield [{**item, "apiVersion": kind.api_version, "kind": kind.name} for item in items]
            more = page["metadata"].get("continue")
            if not more:
                return
            query = [*always, ("continue", more)]

    async def apply(self, body: Body, *, subresource: str = "", new: bool = False) -> Body:
        kind = kind_of(body)
        if new:
            body = {**body, "metadata": {**body["metadata"], "resourceVersion": NEVER}}
        path = _path(kind, key_of(body)) + (f"/{subresource}" if subresource else "")
        query = [("fieldManager", FIELD_MANAGER), ("force", "true"), ("fieldValidation", "Strict")]
        return await self._send("PATCH", kind, path, query, body=body, content_type=APPLY)

    async def create(self, body: Body, *, dry_run: bool = False) -> None:
        kind = kind_of(body)
        query = [("fieldManager", FIELD_MANAGER), *([("dryRun", "All")] if dry_run else [])]
        await self._send("POST", kind, _collection(kind, key_of(body).namespace), query, body=body)

    async def patch(self, kind: Kind, key: Key, operations: Sequence[Mapping[str, Any]]) -> Body:
        query = [("fieldManager", FIELD_MANAGER)]
        return await self._send(
            "PATCH", kind, _path(kind, key), query, body=list(operations), content_type=JSON_PATCH
        )

    async def delete(self, kind: Kind, key: Key, uid: str) -> None:
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self._send("DELETE", kind, _path(kind, key), body=options)
        except ApiError as error:
            if error.status != 404:
                raise

    async def _send(
        self,
        verb: str,
        kind: Kind,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        *,
        body: Any = None,
        content_type: str = JSON,
        accepted: str = JSON,
    ) -> dict[str, Any]:
        headers = {"Content-Type": content_type, "Accept": accepted}
        status, text = await self._answer(verb, path, query, body, headers)
        self.counted(verb, kind.plural, status)
        if 200 <= status < 300:
            return dict(json.loads(text))
        raise ApiError(status, _message(text, status), f"{verb} {path}")

    async def _answer(
        self, verb: str, path: str, query: Sequence[tuple[str, str]], body: Any, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        """Return status and body of an answer; status 0 where there was none."""
        method, url, sent, _, _ = await self.api.param_serialize(
            verb,
            path,
            query_params=list(query),
            header_params=headers,
            auth_settings=["BearerToken"],
        )
        try:  # the body is JSON already: the client's walk through it costs more than the rest of the request
            response = await self.api.call_api(method, url, sent, body, _request_timeout=REQUEST_SECONDS)
            return response.status, await response.read() or b""
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return 0, str(error or type(error).__name__).encode()


async def connect(namespaces: Sequence[str], counted: Counted) -> KubeCluster:
    """Return the cluster of the service account, or of KUBECONFIG where there is none.

    As kopf's own connections, ours read no proxies and passwords from the environment and ~/.netrc, for which
    aiohttp would ask a thread at every request.
    """
    own = client.Configuration(client_session_kwargs={"trust_env": False})
    try:
        config.load_incluster_config(client_configuration=own)
    except config.ConfigException:
        await config.load_kube_config(client_configuration=own)
    return KubeCluster(client.ApiClient(own), namespaces, counted)


def _collection(kind: Kind, namespace: str | None) -> str:
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
    return f"{root}/namespaces/{namespace}/{kind.plural}" if namespace else f"{root}/{kind.plural}"


def _path(kind: Kind, key: Key) -> str:
    return f"{_collection(kind, key.namespace)}/{key.name}"


def _trace(body: Body) -> Trace:
    return Trace(key_of(body), uid_of(body), version_of(body))


def _message(text: bytes, status: int) -> str:
    """Return the message of a Status object, or what there is instead."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.decode(errors="replace").strip()[:500] or f"status {status}"

"""The API server as the bench's writer needs it: pooled, asynchronous, and JSON as it comes."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from kubernetes.aio import client, config
from kubernetes.aio.client.rest import RESTClientObject

from folio_operator.cluster import Kind

MERGE = "application/merge-patch+json"
CONNECTIONS = 32
Json = dict[str, Any]


class RefusedError(Exception):
    """The API server said no."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:500]}")
        self.status = status


@dataclass
class Api:
    """Requests of KUBECONFIG's user."""

    session: aiohttp.ClientSession
    host: str
    certificate: str
    """File of the API server's authority."""

    async def send(self, verb: str, path: str, body: Any = None, content: str = "application/json") -> Json:
        text = json.dumps(body) if body is not None else None
        headers = {"Content-Type": content, "Accept": "application/json"}
        async with self.session.request(verb, self.host + path, data=text, headers=headers) as answer:
            told = await answer.text()
            if answer.status >= 300:
                raise RefusedError(answer.status, told)
            return dict(json.loads(told))

    async def create(self, body: Json) -> Json:
        """POST it, or leave what is there already."""
        kind = _kind(body)
        metadata = body["metadata"]
        try:
            return await self.send("POST", collection(kind, metadata.get("namespace")), body)
        except RefusedError as refused:
            if refused.status != 409:
                raise
            return body

    async def merge(self, path: str, patch: Json) -> Json:
        return await self.send("PATCH", path, patch, MERGE)

    async def list(self, path: str) -> list[Json]:
        return list((await self.send("GET", path))["items"])

    async def remove(self, path: str) -> None:
        try:
            await self.send("DELETE", path)
        except RefusedError as refused:
            if refused.status != 404:
                raise

    async def text(self, path: str) -> str:
        async with self.session.get(self.host + path) as answer:
            return await answer.text()

    async def watch(self, path: str) -> AsyncIterator[Json]:
        """Everything that there is, then everything that happens to it."""
        async with self.session.get(
            f"{self.host}{path}?watch=1", timeout=aiohttp.ClientTimeout(total=None)
        ) as answer:
            async for line in answer.content:
                yield json.loads(line)

    async def kubeconfig_of(self, namespace: str, account: str, file: Path) -> Path:
        """Write the file with which a process is this service account."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = (await self.send("POST", path, asked))["status"]["token"]
        authority = base64.b64encode(Path(self.certificate).read_bytes()).decode()
        cluster = {"server": self.host, "certificate-authority-data": authority}
        written = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bench", "cluster": cluster}],
            "users": [{"name": account, "user": {"token": token}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": account}}],
            "current-context": "bench",
        }
        file.write_text(yaml.safe_dump(written))
        return file


async def connect() -> Api:
    """Return the API server of KUBECONFIG."""
    own = client.Configuration()
    await config.load_kube_config(client_configuration=own)
    token = await own.get_api_key_with_prefix("BearerToken")
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=RESTClientObject(own).ssl_context, limit=CONNECTIONS),
        headers={"Authorization": token} if token else {},
        read_bufsize=2**21,
    )
    return Api(session, str(own.host), str(own.ssl_ca_cert))


def collection(kind: Kind, namespace: str | None) -> str:
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
    return f"{root}/namespaces/{namespace}/{kind.plural}" if namespace else f"{root}/{kind.plural}"


def _kind(body: Json) -> Kind:
    """Plurals of the few kinds that the bench makes are their names with an s, or es after y."""
    name = str(body["kind"])
    plural = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
    return Kind(str(body["apiVersion"]), name, plural.lower())

"""The Lease of the API server, by a client of its own: the election must not depend on the main loop's."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import urllib3
from kubernetes import client, config

from folio_api.meta import Key
from folio_operator.lease import ConflictError, Record

logger = logging.getLogger(__name__)
REQUEST_SECONDS = (2.0, 2.0)
"""To connect, to be answered; well below the time after which a leader gives up."""


@dataclass
class KubeLeaseStore:
    """Reads and writes one Lease, which goes with the Deployment of the same name where there is one."""

    api: client.CoordinationV1Api
    key: Key
    duration_seconds: int
    deployments: client.AppsV1Api
    _owners: list[dict[str, str]] | None = field(default=None, init=False)
    """Not asked for yet: None."""

    def read(self) -> Record | None:
        try:
            found = self.api.read_namespaced_lease(
                self.key.name, self.key.namespace, _request_timeout=REQUEST_SECONDS
            )
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise OSError(f"the Lease cannot be read: {error.status} {error.reason}") from error
        except urllib3.exceptions.HTTPError as error:
            raise OSError(f"the Lease cannot be read: {error}") from error
        return _record(found)

    def write(self, record: Record) -> Record:
        try:
            if self._owners is None:
                self._owners = self._deployment()
            return _record(self._write(record))
        except client.ApiException as error:
            if error.status == 409:
                raise ConflictError(f"somebody else wrote the Lease {self.key.name}") from error
            raise OSError(f"the Lease cannot be written: {error.status} {error.reason}") from error
        except urllib3.exceptions.HTTPError as error:
            raise OSError(f"the Lease cannot be written: {error}") from error

    def _write(self, record: Record) -> Any:
        lease = self._lease(record)
        if not record.version:
            return self.api.create_namespaced_lease(
                self.key.namespace, lease, _request_timeout=REQUEST_SECONDS
            )
        return self.api.replace_namespaced_lease(
            self.key.name, self.key.namespace, lease, _request_timeout=REQUEST_SECONDS
        )

    def _deployment(self) -> list[dict[str, str]]:
        """Return the Lease's owner; none for an operator that no Deployment runs, or that may not look."""
        try:
            found = self.deployments.read_namespaced_deployment(
                self.key.name, self.key.namespace, _request_timeout=REQUEST_SECONDS
            )
        except client.ApiException as error:
            if error.status == 403:
                logger.warning("the Lease will outlive the release: %s", error.reason)
            if error.status in (403, 404):
                return []
            raise
        return [
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.key.name, "uid": found.metadata.uid}
        ]

    def _lease(self, record: Record) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        metadata = {
            "name": self.key.name,
            "namespace": self.key.namespace,
            "ownerReferences": self._owners or [],
        }
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {**metadata, **({"resourceVersion": record.version} if record.version else {})},
            "spec": {
                "holderIdentity": record.holder,
                "leaseDurationSeconds": self.duration_seconds,
                "leaseTransitions": record.transitions,
                "renewTime": now,
            },
        }


def connect(key: Key, duration_seconds: float) -> KubeLeaseStore:
    """Return the Lease of the service account's cluster, or of KUBECONFIG's where there is none."""
    own = client.Configuration()
    try:
        config.load_incluster_config(own)
    except config.ConfigException:
        config.load_kube_config(client_configuration=own)
    own.retries = False
    api = client.ApiClient(own)
    return KubeLeaseStore(client.CoordinationV1Api(api), key, int(duration_seconds), client.AppsV1Api(api))


def _record(lease: Any) -> Record:
    return Record(
        holder=lease.spec.holder_identity or "",
        transitions=lease.spec.lease_transitions or 0,
        version=lease.metadata.resource_version,
    )

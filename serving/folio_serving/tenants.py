"""Tenants' keys: files below the secrets directory, looked up by digest, so that a comparison tells nothing.

They are read again when the directory changes: a new key, or one that is gone, counts within two seconds of
the file.
"""

from __future__ import annotations

import hashlib
import logging
import time

from folio_api.spec import TENANT_FILES, keys_in
from folio_serving.secrets import CHECK_SECONDS, Secrets

SETTLED_SECONDS = 2.0
"""A directory that changed less than this ago may change again under the same time stamp."""

log = logging.getLogger("folio.tenants")


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


class TenantKeys:
    """Which tenant a key belongs to."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._tenants: dict[bytes, str] = {}
        self._looked = -CHECK_SECONDS
        self._stamp: int | None = None

    def tenant(self, key_digest: bytes, now: float) -> str | None:
        """Return whose key has this digest; `now` is a monotonic clock."""
        if now - self._looked >= CHECK_SECONDS:
            self._looked = now
            self._look()
        return self._tenants.get(key_digest)

    def _look(self) -> None:
        stamp = self._secrets.stamp()
        if stamp is not None and stamp == self._stamp:
            return
        self._tenants = told_apart(self._secrets.beginning(TENANT_FILES))
        settled = stamp is not None and time.time_ns() - stamp > SETTLED_SECONDS * 1e9
        self._stamp = stamp if settled else None


def told_apart(files: dict[str, str]) -> dict[bytes, str]:
    """Return tenant by digest; a key that two tenants share opens for neither."""
    found: dict[bytes, str] = {}
    shared: set[bytes] = set()
    for tenant, content in files.items():
        for key in keys_in(content):
            one = digest(key)
            if found.setdefault(one, tenant) != tenant:
                shared.add(one)
                log.warning("tenants %s and %s have the same key: it opens for neither", found[one], tenant)
    return {one: tenant for one, tenant in found.items() if one not in shared}

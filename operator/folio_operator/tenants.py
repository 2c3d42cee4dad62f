"""What checks may know of the keys that open a gateway: who has one, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from folio_api.spec import keys_in
from folio_operator.world import TenantKey

SHORTEST_KEY = 16
LONGEST_KEY = 512
MOST_KEYS = 4
"""Of one tenant: an old one and a new one, and room for a mistake."""
LONGEST_TENANT = 63


def tenant_keys(secret: Mapping[str, bytes]) -> tuple[TenantKey, ...]:
    """Return every key of every tenant; a tenant without any has one that says so."""
    return tuple(key for tenant, value in sorted(secret.items()) for key in _keys(tenant, value))


def _keys(tenant: str, value: bytes) -> Iterator[TenantKey]:
    if len(tenant) > LONGEST_TENANT:
        yield TenantKey(tenant, "", f"the name has more than {LONGEST_TENANT} characters: shorten it")
        return
    keys = keys_in(value.decode(errors="replace"))
    if not keys:
        yield TenantKey(tenant, "", "it holds no key: write one, or remove the tenant")
    if len(keys) > MOST_KEYS:
        yield TenantKey(tenant, "", f"it holds more than {MOST_KEYS} keys: remove the old ones")
    for key in keys:
        yield TenantKey(tenant, hashlib.sha256(key.encode()).hexdigest(), _fault(key))


def _fault(key: str) -> str:
    if not (key.isascii() and key.isprintable()) or " " in key:
        return "a key may hold visible ASCII characters only"
    if len(key) < SHORTEST_KEY:
        return f"a key has fewer than {SHORTEST_KEY} characters: make one with `openssl rand -hex 32`"
    if len(key) > LONGEST_KEY:
        return f"a key has more than {LONGEST_KEY} characters: shorten it"
    return ""

"""Who may ask, and for which tenant: told by the bearer token of a request.

The active table decides for every request, also for one that a candidate answers: another revision is no
way around the door.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from folio_api.table import Auth
from folio_serving.errors import Trouble
from folio_serving.secrets import Secrets
from folio_serving.tenants import TenantKeys, digest

if TYPE_CHECKING:
    from folio_serving.tokens import Tokens

LONGEST_TOKEN = 8192
_SCHEME = "bearer "


class Door:
    """Lets in whoever has a key or a token. `fetched` is told how each fetch of a provider's keys went."""

    def __init__(self, secrets: Secrets, fetched: Callable[[str], None]) -> None:
        self._keys = TenantKeys(secrets)
        self._fetched = fetched
        self._auth: Auth | None = None
        self._tokens: Tokens | None = None

    def use(self, auth: Auth | None) -> None:
        """Begin to fetch what will be needed, so that the first request need not wait for it."""
        self._auth = auth
        wanted = auth.jwt if auth is not None else None
        if self._tokens is not None and self._tokens.settings != wanted:
            self._tokens.close()
            self._tokens = None
        if wanted is not None and self._tokens is None:
            from folio_serving.tokens import Tokens  # noqa: PLC0415 - who has no tokens pays for no cryptography

            self._tokens = Tokens(wanted, self._fetched)

    def close(self) -> None:
        self.use(None)

    async def tenant(self, auth: Auth, headers: Mapping[str, str]) -> str:
        """Return whose request it is; raises for nobody's."""
        if auth is not self._auth:
            self.use(auth)
        token = bearer(headers)
        token_digest = digest(token)
        found = self._keys.tenant(token_digest, time.monotonic()) if auth.api_keys else None
        if found is not None:
            return found
        if self._tokens is None or (auth.api_keys and token.count(".") != 2):
            raise Trouble("Unauthorized", "the API key is not known here")
        return await self._tokens.tenant(token, token_digest)


def bearer(headers: Mapping[str, str]) -> str:
    """Return the bearer token of a request."""
    given = headers.get("authorization", "")
    token = given[len(_SCHEME) :].strip() if given[: len(_SCHEME)].lower() == _SCHEME else ""
    if not token:
        raise Trouble("Unauthorized", "an API key is needed: send it as `Authorization: Bearer KEY`")
    if len(token) > LONGEST_TOKEN:
        raise Trouble("Unauthorized", f"the token is longer than {LONGEST_TOKEN} characters")
    return token

"""Who may ask, and for which tenant: told by the bearer token of a request.

The active table decides for every request, also for one that a candidate answers: another revision is no
way around the door.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from folio_api.table import Auth
from folio_serving.errors import Trouble
from folio_serving.secrets import Secrets
from folio_serving.tenants import TenantKeys, digest

LONGEST_TOKEN = 8192
_SCHEME = "bearer "


class Door:
    """Lets in whoever has a key."""

    def __init__(self, secrets: Secrets) -> None:
        self._keys = TenantKeys(secrets)

    async def tenant(self, auth: Auth, headers: Mapping[str, str]) -> str:
        """Return whose request it is; raises for nobody's."""
        token = bearer(headers)
        found = self._keys.tenant(digest(token), time.monotonic()) if auth.api_keys else None
        if found is None:
            raise Trouble("Unauthorized", "the API key is not known here")
        return found


def bearer(headers: Mapping[str, str]) -> str:
    """Return the bearer token of a request."""
    given = headers.get("authorization", "")
    token = given[len(_SCHEME) :].strip() if given[: len(_SCHEME)].lower() == _SCHEME else ""
    if not token:
        raise Trouble("Unauthorized", "an API key is needed: send it as `Authorization: Bearer KEY`")
    if len(token) > LONGEST_TOKEN:
        raise Trouble("Unauthorized", f"the token is longer than {LONGEST_TOKEN} characters")
    return token

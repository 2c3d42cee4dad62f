"""What a portfolio's gateway says of itself: the only proof of what serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
from pydantic import ValidationError

from folio_api.meta import Key
from folio_api.table import GatewayState

TOKEN_HEADER = "x-folio-token"  # noqa: S105 - the name of a header
ANSWER_SECONDS = 3.0
SERVICE_URL = "http://{name}.{namespace}.svc:8000"


class Gateways(Protocol):
    """Asks gateways; None while one does not answer."""

    async def state(self, portfolio: Key, token: str) -> GatewayState | None: ...


@dataclass
class HttpGateways:
    """Asks through the gateway's Service."""

    url: str = SERVICE_URL
    _session: aiohttp.ClientSession | None = field(default=None, init=False)

    async def state(self, portfolio: Key, token: str) -> GatewayState | None:
        url = self.url.format(name=portfolio.name, namespace=portfolio.namespace) + "/internal/state"
        try:
            async with self._open().get(url, headers={TOKEN_HEADER: token}) as answer:
                return GatewayState.model_validate_json(await answer.read()) if answer.status == 200 else None
        except (TimeoutError, aiohttp.ClientError, OSError, ValidationError):
            return None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        return self._session

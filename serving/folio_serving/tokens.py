"""JSON Web Tokens of an identity provider: verified once, then known by their digest until they expire."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt

from folio_api.table import Jwt
from folio_serving.errors import Trouble
from folio_serving.jwks import Jwks, SigningKey

LEEWAY_SECONDS = 30
"""What clocks may differ by."""
MOST_KNOWN = 10_000
LONGEST_TENANT = 128
_UNREADABLE = "the token cannot be read"
_SAID: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.InvalidIssuerError, "the token is of another issuer"),
    (jwt.InvalidAlgorithmError, "the token's algorithm is not one of its key's"),
    (jwt.InvalidSignatureError, "the token's signature is wrong"),
)


@dataclass(frozen=True, slots=True)
class Known:
    """A token that was verified."""

    tenant: str
    until: float


class Tokens:
    """Tells whose token it is."""

    def __init__(
        self, settings: Jwt, fetched: Callable[[str], None], wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self._clock = wall_clock
        self._known: dict[bytes, Known] = {}
        self._jwks = Jwks(settings.jwks_uri, self._known.clear, fetched)

    def close(self) -> None:
        self._jwks.close()

    async def tenant(self, token: str, token_digest: bytes) -> str:
        """Return whose token it is; raises for one that proves nothing."""
        known = self._known.get(token_digest)
        if known is not None and self._clock() < known.until:
            return known.tenant
        key = await self._key(_header(token))
        claims = self._claims(token, key)
        tenant = claims.get(self.settings.tenant_claim)
        if not isinstance(tenant, str) or not tenant.isprintable() or not 0 < len(tenant) <= LONGEST_TENANT:
            claim = self.settings.tenant_claim
            raise _refused(f"the token's claim {claim} is no text of 1 to {LONGEST_TENANT} characters")
        self._remember(token_digest, Known(tenant, int(claims["exp"]) + LEEWAY_SECONDS))
        return tenant

    async def _key(self, header: dict[str, Any]) -> SigningKey:
        """Return the key that must have signed; one that is new to us is fetched."""
        key = self._find(header)
        if key is None:
            await self._jwks.again()
            key = self._find(header)
        if key is not None:
            return key
        if not self._jwks.keys or self._jwks.trouble:
            raise Trouble("NotReady", "the identity provider's keys cannot be had just now")
        raise _refused("the token is signed with a key that the identity provider does not list")

    def _find(self, header: dict[str, Any]) -> SigningKey | None:
        kid, keys = header.get("kid"), self._jwks.keys
        if kid is not None:
            return next((key for key in keys if key.kid == kid), None)
        fitting = [key for key in keys if header.get("alg") in key.algorithms]
        return fitting[0] if len(fitting) == 1 else None

    def _claims(self, token: str, key: SigningKey) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key.key,
                algorithms=list(key.algorithms),
                audience=list(self.settings.audiences),
                issuer=self.settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
            )
        except jwt.MissingRequiredClaimError as error:
            raise _refused(f"the token has no claim {error.claim}") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise _refused(_said(error)) from None

    def _remember(self, token_digest: bytes, known: Known) -> None:
        if len(self._known) >= MOST_KNOWN:
            now = self._clock()
            for old in [key for key, one in self._known.items() if one.until <= now]:
                del self._known[old]
            while len(self._known) >= MOST_KNOWN:
                del self._known[next(iter(self._known))]
        self._known[token_digest] = known


def _header(token: str) -> dict[str, Any]:
    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise _refused(_UNREADABLE) from None


def _said(error: Exception) -> str:
    return next((said for kind, said in _SAID if isinstance(error, kind)), _UNREADABLE)


def _refused(message: str) -> Trouble:
    return Trouble("Unauthorized", message)

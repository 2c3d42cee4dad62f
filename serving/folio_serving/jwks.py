"""An identity provider's signing keys: fetched in the background, and kept when it cannot be reached.

Only public keys for signatures are taken, each with the algorithms that its own type allows: what a token
says of itself never chooses how it is verified.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from jwt import PyJWK, PyJWTError

REFRESH_SECONDS = 300.0
FIRST_RETRY_SECONDS = 5.0
FETCH_SECONDS = 5.0
WAIT_SECONDS = 2.0
"""How long a request waits for a fetch that may bring its key."""
AGAIN_SECONDS = 10.0
"""Between two fetches for unknown keys: tokens of strangers must not make us hammer the provider."""
MAX_BYTES = 256 << 10
MAX_KEYS = 64
SMALLEST_RSA_BITS = 2048
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_BY_CURVE = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA",)}

log = logging.getLogger("folio.jwks")


class KeysError(Exception):
    """The document holds no keys that could be used."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key, and what it may have signed with."""

    kid: str | None
    key: Any
    algorithms: tuple[str, ...]


class Jwks:
    """The keys in use. `changed` is told when they are others, `fetched` how every fetch went."""

    def __init__(self, uri: str, changed: Callable[[], None], fetched: Callable[[str], None]) -> None:
        self.keys: tuple[SigningKey, ...] = ()
        self.trouble: str | None = None
        """Why the last fetch failed."""
        self._uri = uri
        self._changed = changed
        self._fetched = fetched
        self._document = b""
        self._fetch: asyncio.Task[None] | None = None
        self._asked = -AGAIN_SECONDS
        self._runs = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        self._runs.cancel()
        if self._fetch is not None:
            self._fetch.cancel()

    async def again(self) -> None:
        """Fetch for a key that is not here: once for all who wait, not soon again, and waited for briefly."""
        if self._fetch is None and time.monotonic() - self._asked < AGAIN_SECONDS:
            return
        await asyncio.wait({self._start()}, timeout=WAIT_SECONDS)

    async def _run(self) -> None:
        retry_seconds = FIRST_RETRY_SECONDS
        while True:
            await asyncio.wait({self._start()})
            seconds = retry_seconds if self.trouble else REFRESH_SECONDS
            retry_seconds = min(retry_seconds * 2, REFRESH_SECONDS) if self.trouble else FIRST_RETRY_SECONDS
            await asyncio.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 - spreads the replicas

    def _start(self) -> asyncio.Task[None]:
        """Return the fetch under way, or start one."""
        if self._fetch is None:
            self._asked = time.monotonic()
            self._fetch = asyncio.get_running_loop().create_task(self._take())
            self._fetch.add_done_callback(self._ended)
        return self._fetch

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._fetch = None

    async def _take(self) -> None:
        """Fetch and use the keys; when that fails the last ones stay."""
        try:
            document = await fetched(self._uri)
            keys = signing_keys(document)
        except (aiohttp.ClientError, KeysError, OSError, TimeoutError, ValueError) as error:
            self.trouble = str(error) or type(error).__name__
            self._fetched("failed")
            log.warning("%s: %s; %d keys stay in use", self._uri, self.trouble, len(self.keys))
            return
        self.trouble = None
        self._fetched("ok")
        if document != self._document:
            self._document, self.keys = document, keys
            self._changed()


async def fetched(uri: str) -> bytes:
    """Return what stands there, if it is small and comes soon. A redirect is not followed."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=FETCH_SECONDS)) as session,
        session.get(uri, allow_redirects=False, headers={"accept": "application/json"}) as response,
    ):
        if response.status != 200:
            raise KeysError(f"it answers {response.status}")
        parts: list[bytes] = []
        async for part in response.content.iter_any():
            parts.append(part)
            if sum(map(len, parts)) > MAX_BYTES:
                raise KeysError(f"it is larger than {MAX_BYTES} bytes")
        return b"".join(parts)


def signing_keys(document: bytes) -> tuple[SigningKey, ...]:
    """Return the keys of a JWKS that signatures can be verified with."""
    try:
        listed = json.loads(document)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KeysError("it is no JSON object with a member `keys`") from None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise KeysError(f"`keys` is no array of at most {MAX_KEYS}")
    keys = tuple(_signing_keys(listed))
    if not keys:
        raise KeysError("it holds no public key for signatures")
    return keys


def _signing_keys(listed: Iterable[Any]) -> Iterator[SigningKey]:
    for one in listed:
        algorithms = _algorithms(one) if isinstance(one, Mapping) else ()
        if not algorithms or "d" in one:  # a private key stands there by mistake, and is nobody's secret now
            continue
        try:
            key = PyJWK.from_dict(dict(one), algorithms[0]).key
        except (PyJWTError, ValueError, TypeError):
            continue
        if getattr(key, "key_size", SMALLEST_RSA_BITS) >= SMALLEST_RSA_BITS or one["kty"] != "RSA":
            kid = one.get("kid")
            yield SigningKey(kid if isinstance(kid, str) else None, key, algorithms)


def _algorithms(jwk: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a key may have signed with: what its type allows, less where it names its algorithm."""
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ("verify",)):
        return ()
    kty, curve = jwk.get("kty"), jwk.get("crv")
    possible: tuple[str, ...] = ()
    if kty == "RSA":
        possible = _RSA
    elif kty in ("EC", "OKP") and isinstance(curve, str):
        possible = _BY_CURVE.get(curve, ())
    named = jwk.get("alg")
    return possible if named is None else tuple(each for each in possible if each == named)

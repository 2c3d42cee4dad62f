"""An identity provider that is played: real keys, and a real server of them."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import dataclass, field
from typing import Any

import jwt as pyjwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from folio_api.table import Auth, Jwt

ISSUER, AUDIENCES = "https://id.acme.dev", ("folio", "other-door")


@dataclass(frozen=True)
class Signer:
    """A private key of the provider, or of somebody else."""

    kid: str
    algorithm: str
    private: Any
    public: dict[str, Any]

    @classmethod
    def rsa(cls, kid: str, algorithm: str = "RS256", bits: int = 2048) -> Signer:
        private = rsa.generate_private_key(65537, bits)
        return cls(kid, algorithm, private, RSAAlgorithm.to_jwk(private.public_key(), as_dict=True))

    @classmethod
    def ec(cls, kid: str) -> Signer:
        private = ec.generate_private_key(ec.SECP256R1())
        return cls(kid, "ES256", private, ECAlgorithm.to_jwk(private.public_key(), as_dict=True))

    @classmethod
    def ed(cls, kid: str) -> Signer:
        private = ed25519.Ed25519PrivateKey.generate()
        return cls(kid, "EdDSA", private, OKPAlgorithm.to_jwk(private.public_key(), as_dict=True))

    def jwk(self, **members: Any) -> dict[str, Any]:
        return {**self.public, "kid": self.kid, "use": "sig", **members}

    def token(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A good token, but for what is said; a claim that is None is left out."""
        now = int(time.time())
        good = {"iss": ISSUER, "aud": "folio", "sub": "blue", "exp": now + 600, "iat": now}
        wanted = {name: value for name, value in {**good, **claims}.items() if value is not None}
        head = {"kid": self.kid} if headers is None else headers
        return pyjwt.encode(wanted, self.private, self.algorithm, headers=head)


RSA, EC, ED = Signer.rsa("rsa-1"), Signer.ec("ec-1"), Signer.ed("ed-1")
STRANGER = Signer.rsa("rsa-1")
"""Another key under the same name."""


@dataclass
class Provider:
    """Serves the keys; counts how often."""

    keys: list[dict[str, Any]] = field(default_factory=lambda: [RSA.jwk(), EC.jwk(), ED.jwk()])
    answer: bytes | None = None
    status: int = 200
    seconds: float = 0.0
    location: str = ""
    asked: int = 0
    port: int = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        headers = [(b"location", self.location.encode())] if self.location else []
        body = self.answer if self.answer is not None else json.dumps({"keys": self.keys}).encode()
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def auth(self, **fields: Any) -> Auth:
        uri = f"http://127.0.0.1:{self.port}/jwks"
        return Auth(jwt=Jwt(issuer=ISSUER, audiences=AUDIENCES, jwks_uri=uri, **fields))


def b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

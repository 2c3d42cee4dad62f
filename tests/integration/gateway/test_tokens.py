"""Tokens of an identity provider: real keys, a real server of them, and every way to get past it that we know."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from tests.integration.gateway.conftest import SMALL_LARGE, Portfolio
from tests.integration.gateway.models import serving
from tests.integration.gateway.test_door import BLUE, bearer, chat, put

from folio_api.table import Auth, Jwt
from folio_serving import jwks as jwks_module
from folio_serving import tokens as tokens_module
from folio_serving.jwks import KeysError, signing_keys

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


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[Provider]:
    one = Provider()
    async with serving(one) as one.port:
        yield one


async def guard(portfolio: Portfolio, auth: Auth) -> None:
    await portfolio.apply(SMALL_LARGE.model_copy(update={"auth": auth}).with_revision())
    portfolio.process.health.close()


@pytest_asyncio.fixture
async def guarded(portfolio: Portfolio, provider: Provider) -> AsyncIterator[Portfolio]:
    await guard(portfolio, provider.auth())
    yield portfolio
    portfolio.process.door.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown key may be fetched for every time."""
    monkeypatch.setattr(jwks_module, "AGAIN_SECONDS", 0.0)


def tokens(portfolio: Portfolio) -> Any:
    found = portfolio.process.door._tokens
    assert found is not None
    return found


@pytest.mark.parametrize("signer", [RSA, EC, ED], ids=lambda each: each.algorithm)
async def test_a_token_of_the_provider_opens(guarded: Portfolio, signer: Signer) -> None:
    assert (await chat(guarded, bearer(signer.token()))).status_code == 200
    assert (await chat(guarded, bearer(signer.token(aud=["x", "other-door"])))).status_code == 200


async def test_the_tenant_is_the_claim_that_the_portfolio_names(
    portfolio: Portfolio, provider: Provider
) -> None:
    await guard(portfolio, provider.auth(tenant_claim="https://acme.dev/team"))
    token = RSA.token(**{"https://acme.dev/team": "search"})
    assert (await chat(portfolio, bearer(token))).status_code == 200
    portfolio.process.answering.close()
    assert json.loads(portfolio.log.getvalue().splitlines()[-1])["tenant"] == "search"
    assert token not in portfolio.log.getvalue()
    refused = await chat(portfolio, bearer(RSA.token()))
    assert refused.status_code == 401
    assert "the token's claim https://acme.dev/team is no text" in refused.json()["error"]["message"]
    portfolio.process.door.close()


def b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header: dict[str, Any], signature: bytes = b"", **claims: Any) -> str:
    good = {"iss": ISSUER, "aud": "folio", "sub": "blue", "exp": int(time.time()) + 600}
    return f"{b64(header)}.{b64({**good, **claims})}.{b64(signature)}"


def signed_with_the_public_key(signer: Signer) -> str:
    """The classic confusion: the public key, which everybody knows, as the secret of an HMAC."""
    pem = signer.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    unsigned = forged({"alg": "HS256", "typ": "JWT", "kid": signer.kid}).rpartition(".")[0]
    return f"{unsigned}.{b64(hmac.digest(pem, unsigned.encode(), hashlib.sha256))}"


def tampered(token: str, **claims: Any) -> str:
    header, payload, signature = token.split(".")
    held = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return f"{header}.{b64({**held, **claims})}.{signature}"


NOW = int(time.time())
DEEP = b64(b"[" * 3000)


@pytest.mark.parametrize(
    ("token", "said"),
    [
        pytest.param(RSA.token(exp=NOW - 60), "the token has expired", id="expired"),
        pytest.param(RSA.token(nbf=NOW + 3600), "the token is not valid yet", id="too early"),
        pytest.param(RSA.token(iat=NOW + 3600), "the token is not valid yet", id="from tomorrow"),
        pytest.param(RSA.token(aud="elsewhere"), "the token is for another audience", id="audience"),
        pytest.param(RSA.token(aud=["a", "b"]), "the token is for another audience", id="audiences"),
        pytest.param(RSA.token(iss=ISSUER + "/"), "the token is of another issuer", id="issuer"),
        pytest.param(RSA.token(exp=None), "the token has no claim exp", id="for ever"),
        pytest.param(RSA.token(aud=None), "the token has no claim aud", id="no audience"),
        pytest.param(RSA.token(iss=None), "the token has no claim iss", id="no issuer"),
        pytest.param(RSA.token(sub=None), "the token's claim sub is no text", id="no tenant"),
        pytest.param(RSA.token(sub=""), "the token's claim sub is no text", id="an empty tenant"),
        pytest.param(RSA.token(sub="a\nb"), "the token's claim sub is no text", id="a tenant of two lines"),
        pytest.param(RSA.token(sub="x" * 129), "the token's claim sub is no text", id="a long tenant"),
        pytest.param(tampered(RSA.token(), sub="red"), "the token's signature is wrong", id="tampered"),
        pytest.param(tampered(EC.token(), sub="red"), "the token's signature is wrong", id="tampered ec"),
        pytest.param(STRANGER.token(), "the token's signature is wrong", id="a stranger's key"),
        pytest.param(RSA.token({"kid": "ec-1"}), "algorithm is not one of its key's", id="another's kid"),
        pytest.param(
            signed_with_the_public_key(RSA), "algorithm is not one of its key's", id="HS256 confusion"
        ),
        pytest.param(
            signed_with_the_public_key(EC), "algorithm is not one of its key's", id="HS256 confusion ec"
        ),
        pytest.param(forged({"alg": "none"}), "signed with a key that", id="alg none without a kid"),
        pytest.param(forged({"alg": "none", "kid": "rsa-1"}), "algorithm is not one of", id="alg none"),
        pytest.param(forged({"alg": "NonE", "kid": "rsa-1"}), "algorithm is not one of", id="alg NonE"),
        pytest.param(forged({"alg": "RS256", "kid": "rsa-1"}), "signature is wrong", id="unsigned"),
        pytest.param(forged({"kid": "rsa-1"}), "the token", id="no algorithm"),
        pytest.param(forged({"alg": ["RS256"], "kid": "rsa-1"}), "the token", id="a list of algorithms"),
        pytest.param(forged({"alg": "RS256", "kid": 1}), "the token cannot be read", id="kid is a number"),
        pytest.param(
            forged({"alg": "RS256", "kid": "rsa-1", "crit": ["x"]}), "the token cannot be read", id="crit"
        ),
        pytest.param(
            forged({"alg": "RS256", "jwk": STRANGER.jwk(), "kid": "other"}),
            "a key that the identity provider does not list",
            id="brings its own key",
        ),
        pytest.param(
            forged({"alg": "RS256", "jku": "http://127.0.0.1:1/keys", "kid": "../../x"}),
            "a key that the identity provider does not list",
            id="says where its key is",
        ),
        pytest.param("a.b.c", "the token cannot be read", id="no base64"),
        pytest.param("..", "the token cannot be read", id="nothing"),
        pytest.param("plain", "the token cannot be read", id="no token at all"),
        pytest.param(f"{DEEP}.{DEEP}.x", "the token cannot be read", id="deeper than a parser can go"),
        pytest.param(f"{b64(b'null')}.{b64({})}.x", "the token cannot be read", id="a header of null"),
        pytest.param(f"{b64(b'7')}.{b64({})}.x", "the token cannot be read", id="a header of 7"),
    ],
)
async def test_what_proves_nothing_does_not_open(guarded: Portfolio, token: str, said: str) -> None:
    answer = await chat(guarded, bearer(token))
    assert answer.status_code == 401
    assert said in answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert guarded.models.asked == []


async def test_garbage_is_a_401_and_never_an_error_of_ours(guarded: Portfolio) -> None:
    rng, good = random.Random(7), RSA.token()
    for _ in range(300):
        broken = list(good)
        for _ in range(rng.randint(1, 6)):
            broken[rng.randrange(len(broken))] = chr(rng.randint(33, 126))
        token = "".join(broken)[: rng.choice((len(good), rng.randint(1, len(good))))]
        if token != good:
            assert (await chat(guarded, bearer(token))).status_code in (200, 401), token


async def test_clocks_may_differ_by_half_a_minute(guarded: Portfolio) -> None:
    assert (await chat(guarded, bearer(RSA.token(exp=int(time.time()) - 20)))).status_code == 200
    assert (await chat(guarded, bearer(RSA.token(nbf=int(time.time()) + 20)))).status_code == 200


async def test_a_token_is_verified_once_and_known_until_it_expires(
    guarded: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = RSA.token(exp=int(time.time()) + 5)
    assert (await chat(guarded, bearer(token))).status_code == 200
    monkeypatch.setattr(tokens_module.jwt, "decode", lambda *_, **__: pytest.fail("verified again"))
    assert (await chat(guarded, bearer(token))).status_code == 200
    monkeypatch.undo()
    monkeypatch.setattr(tokens(guarded), "_clock", lambda: time.time() + 36)
    monkeypatch.setattr(tokens_module.jwt, "decode", _expired)
    assert (await chat(guarded, bearer(token))).status_code == 401


def _expired(*_: Any, **__: Any) -> Any:
    raise pyjwt.ExpiredSignatureError


async def test_known_tokens_are_bounded(guarded: Portfolio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "MOST_KNOWN", 3)
    for number in range(6):
        assert (await chat(guarded, bearer(EC.token(sub=f"user-{number}")))).status_code == 200
    assert [one.tenant for one in tokens(guarded)._known.values()] == ["user-3", "user-4", "user-5"]


async def test_a_new_key_is_fetched_when_a_token_names_it(guarded: Portfolio, provider: Provider) -> None:
    assert (await chat(guarded, bearer(RSA.token()))).status_code == 200
    rotated = Signer.ec("ec-2")
    provider.keys.append(rotated.jwk())
    tokens(guarded)._jwks._asked -= 60
    assert (await chat(guarded, bearer(rotated.token()))).status_code == 200
    assert provider.asked == 2


async def test_strangers_cannot_make_us_fetch_without_end(guarded: Portfolio, provider: Provider) -> None:
    await chat(guarded, bearer(RSA.token()))
    tokens(guarded)._jwks._asked -= 60
    unknown = [bearer(STRANGER.token({"kid": f"unknown-{number}"})) for number in range(20)]
    answers = await asyncio.gather(*(chat(guarded, each) for each in unknown))
    assert {answer.status_code for answer in answers} == {401}
    assert provider.asked == 2


@pytest.mark.usefixtures("impatient")
async def test_a_key_that_the_provider_withdrew_opens_no_more(guarded: Portfolio, provider: Provider) -> None:
    token = RSA.token()
    assert (await chat(guarded, bearer(token))).status_code == 200
    provider.keys = [EC.jwk()]
    await tokens(guarded)._jwks.again()
    assert (await chat(guarded, bearer(token))).status_code == 401
    assert (await chat(guarded, bearer(EC.token()))).status_code == 200


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 500},
        {"answer": b"<html>"},
        {"answer": b'{"keys": []}'},
        {"answer": b'{"keys": {}}'},
        {"answer": b"[" * 100_000},
        {"answer": b'{"keys": [' + b" " * (256 << 10) + b"]}"},
        {"answer": json.dumps({"keys": [RSA.jwk()] * 65}).encode()},
        {"status": 302, "location": "http://127.0.0.1:1/elsewhere"},
    ],
)
async def test_a_provider_in_trouble_leaves_the_last_keys_in_use(
    guarded: Portfolio, provider: Provider, trouble: dict[str, Any]
) -> None:
    assert (await chat(guarded, bearer(RSA.token()))).status_code == 200
    for name, value in trouble.items():
        setattr(provider, name, value)
    await tokens(guarded)._jwks.again()
    assert tokens(guarded)._jwks.trouble
    assert (await chat(guarded, bearer(RSA.token(sub="red")))).status_code == 200
    unknown = await chat(guarded, bearer(STRANGER.token({"kid": "unknown"})))
    assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "2")
    metrics = (await guarded.client.get("/metrics")).text
    assert 'folio_jwks_fetches_total{result="ok"} 1.0' in metrics
    assert 'folio_jwks_fetches_total{result="failed"} 2.0' in metrics


@pytest.mark.usefixtures("impatient")
async def test_a_provider_that_is_not_there_is_a_503_until_it_is(
    portfolio: Portfolio, provider: Provider
) -> None:
    provider.status = 503
    await guard(portfolio, provider.auth())
    answer = await chat(portfolio, bearer(RSA.token()))
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == "the identity provider's keys cannot be had just now"
    provider.status = 200
    assert (await chat(portfolio, bearer(RSA.token()))).status_code == 200
    portfolio.process.door.close()


async def test_a_slow_provider_holds_a_request_for_two_seconds_at_most(
    portfolio: Portfolio, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks_module, "WAIT_SECONDS", 0.2)
    provider.seconds = 3.0
    await guard(portfolio, provider.auth())
    began = time.monotonic()
    assert (await chat(portfolio, bearer(RSA.token()))).status_code == 503
    assert time.monotonic() - began < 2.0
    portfolio.process.door.close()


async def test_keys_are_fetched_again_by_themselves(
    portfolio: Portfolio, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks_module, "REFRESH_SECONDS", 0.05)
    await guard(portfolio, provider.auth())
    assert (await chat(portfolio, bearer(RSA.token()))).status_code == 200
    provider.keys = [EC.jwk()]
    async with asyncio.timeout(5):
        while (await chat(portfolio, bearer(RSA.token()))).status_code != 401:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    portfolio.process.door.close()


async def test_keys_and_tokens_open_side_by_side(
    portfolio: Portfolio, provider: Provider, tmp_path: Path
) -> None:
    put(tmp_path, "blue", BLUE)
    await guard(portfolio, provider.auth().model_copy(update={"api_keys": True}))
    assert (await chat(portfolio, bearer(BLUE))).status_code == 200
    assert (await chat(portfolio, bearer(RSA.token()))).status_code == 200
    refused = await chat(portfolio, bearer("unknown-key"))
    assert (refused.status_code, refused.json()["error"]["message"]) == (401, "the API key is not known here")
    portfolio.process.door.close()


async def test_an_edit_elsewhere_keeps_the_keys_and_one_of_the_provider_takes_others(
    guarded: Portfolio, provider: Provider
) -> None:
    assert (await chat(guarded, bearer(RSA.token()))).status_code == 200
    before = tokens(guarded)
    edited = SMALL_LARGE.model_copy(update={"auth": provider.auth(), "on_exhausted": "Refuse"})
    await guarded.apply(edited.with_revision())
    assert tokens(guarded) is before
    await guard(guarded, Auth(jwt=provider.auth().jwt.model_copy(update={"issuer": "https://new.dev"})))
    assert tokens(guarded) is not before
    assert (await chat(guarded, bearer(RSA.token()))).status_code == 401
    assert (await chat(guarded, bearer(RSA.token(iss="https://new.dev")))).status_code == 200


async def test_a_token_without_a_kid_is_verified_where_one_key_alone_fits(guarded: Portfolio) -> None:
    assert (await chat(guarded, bearer(RSA.token({})))).status_code == 200


@pytest.mark.usefixtures("impatient")
async def test_a_token_without_a_kid_is_refused_where_several_keys_fit(
    guarded: Portfolio, provider: Provider
) -> None:
    provider.keys.append(STRANGER.jwk(kid="rsa-2"))
    await tokens(guarded)._jwks.again()
    assert (await chat(guarded, bearer(RSA.token({})))).status_code == 401


def listed(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def test_a_key_without_an_algorithm_verifies_what_its_type_allows() -> None:
    keys = signing_keys(listed(RSA.jwk(), EC.jwk(), ED.jwk(), RSA.jwk(alg="PS256", kid="pss")))
    assert [key.algorithms for key in keys] == [jwks_module._RSA, ("ES256",), ("EdDSA",), ("PS256",)]


@pytest.mark.parametrize(
    "unusable",
    [
        {"kty": "oct", "k": b64(b"secret" * 8), "kid": "x", "alg": "HS256"},
        {"kty": "oct", "k": b64(b"secret" * 8), "kid": "x"},
        RSA.jwk(alg="HS256"),
        RSA.jwk(alg="none"),
        RSA.jwk(use="enc"),
        RSA.jwk(key_ops=["encrypt"]),
        RSA.jwk(d="AQAB"),
        RSA.jwk(n="AQAB"),
        RSA.jwk(n=None),
        EC.jwk(crv="P-384"),
        EC.jwk(crv=7),
        EC.jwk(kty="RSA"),
        Signer.rsa("weak", bits=1024).jwk(),
        {"kid": "x"},
        "a text",
        None,
    ],
)
def test_what_is_no_public_key_for_signatures_is_left_out(unusable: Any) -> None:
    assert [key.kid for key in signing_keys(listed(unusable, ED.jwk()))] == ["ed-1"]
    with pytest.raises(KeysError, match="no public key"):
        signing_keys(listed(unusable))

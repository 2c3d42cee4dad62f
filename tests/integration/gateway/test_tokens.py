"""Tokens of an identity provider: what opens, and every way to get past it that we know."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import serialization
from tests.integration.gateway.conftest import Portfolio, guard
from tests.integration.gateway.identity import EC, ED, ISSUER, RSA, STRANGER, Provider, Signer, b64
from tests.integration.gateway.test_door import BLUE, bearer, chat, put

from folio_serving import tokens as tokens_module


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

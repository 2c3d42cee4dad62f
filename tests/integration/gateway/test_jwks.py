"""The keys of an identity provider: fetched, kept while it is in trouble, and never more than keys for signatures."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from tests.integration.gateway.conftest import SMALL_LARGE, Portfolio, guard
from tests.integration.gateway.identity import EC, ED, RSA, STRANGER, Provider, Signer, b64
from tests.integration.gateway.test_door import bearer, chat

from folio_api.table import Auth
from folio_serving import jwks as jwks_module
from folio_serving.jwks import Jwks, KeysError, signing_keys


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown key may be fetched for every time."""
    monkeypatch.setattr(jwks_module, "AGAIN_SECONDS", 0.0)


def jwks(portfolio: Portfolio) -> Jwks:
    found = portfolio.process.door._tokens
    assert found is not None
    return found._jwks


async def test_a_new_key_is_fetched_when_a_token_names_it(guarded: Portfolio, provider: Provider) -> None:
    assert (await chat(guarded, bearer(RSA.token()))).status_code == 200
    rotated = Signer.ec("ec-2")
    provider.keys.append(rotated.jwk())
    jwks(guarded)._asked -= 60
    assert (await chat(guarded, bearer(rotated.token()))).status_code == 200
    assert provider.asked == 2


async def test_strangers_cannot_make_us_fetch_without_end(guarded: Portfolio, provider: Provider) -> None:
    await chat(guarded, bearer(RSA.token()))
    jwks(guarded)._asked -= 60
    unknown = [bearer(STRANGER.token({"kid": f"unknown-{number}"})) for number in range(20)]
    answers = await asyncio.gather(*(chat(guarded, each) for each in unknown))
    assert {answer.status_code for answer in answers} == {401}
    assert provider.asked == 2


@pytest.mark.usefixtures("impatient")
async def test_a_key_that_the_provider_withdrew_opens_no_more(guarded: Portfolio, provider: Provider) -> None:
    token = RSA.token()
    assert (await chat(guarded, bearer(token))).status_code == 200
    provider.keys = [EC.jwk()]
    await jwks(guarded).again()
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
    await jwks(guarded).again()
    assert jwks(guarded).trouble
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


async def test_an_edit_elsewhere_keeps_the_keys_and_one_of_the_provider_takes_others(
    guarded: Portfolio, provider: Provider
) -> None:
    assert (await chat(guarded, bearer(RSA.token()))).status_code == 200
    before = jwks(guarded)
    edited = SMALL_LARGE.model_copy(update={"auth": provider.auth(), "on_exhausted": "Refuse"})
    await guarded.apply(edited.with_revision())
    assert jwks(guarded) is before
    await guard(guarded, Auth(jwt=provider.auth().jwt.model_copy(update={"issuer": "https://new.dev"})))
    assert jwks(guarded) is not before
    assert (await chat(guarded, bearer(RSA.token()))).status_code == 401
    assert (await chat(guarded, bearer(RSA.token(iss="https://new.dev")))).status_code == 200


async def test_a_token_without_a_kid_is_verified_where_one_key_alone_fits(guarded: Portfolio) -> None:
    assert (await chat(guarded, bearer(RSA.token({})))).status_code == 200


@pytest.mark.usefixtures("impatient")
async def test_a_token_without_a_kid_is_refused_where_several_keys_fit(
    guarded: Portfolio, provider: Provider
) -> None:
    provider.keys.append(STRANGER.jwk(kid="rsa-2"))
    await jwks(guarded).again()
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

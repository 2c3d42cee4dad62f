"""Who may come in: from the Secret of people to the gateway's own, and what is said of keys that are none."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
import yaml
from tests.unit.operator.desk import PORTFOLIO, Edits, desk, rendered
from tests.unit.operator.shell import DESK, Shell

from folio_api.meta import Key
from folio_api.table import Auth, Jwt
from folio_operator import checks
from folio_operator import cluster as kinds
from folio_operator.copies import Copy
from folio_operator.desired import Circumstances, desired
from folio_operator.plan import Effect, plan
from folio_operator.tenants import tenant_keys

KEYS = {"apiKeys": {"secretRef": {"name": "tenants"}}}
GUARDED: Edits = {PORTFOLIO: {"gateway.auth": KEYS}}
JWT = {"issuer": "https://id.acme.dev", "audiences": ["folio", "chat"], "jwksURI": "https://id.acme.dev/jwks"}
BLUE, RED = b"blue-key-0123456789abcdef", b"red-key-0123456789abcdef"
SECRETS = {"frontier": frozenset({"token"}), "tenants": frozenset({"blue", "red"})}


def faults(**keys: bytes) -> list[str]:
    portfolio = replace(desk(GUARDED, secrets=SECRETS), tenant_keys=tenant_keys(keys))
    found = checks.failures(portfolio)
    assert {each.reason for each in found} <= {"TenantKeyInvalid"}
    assert {each.where for each in found} <= {"ModelPortfolio/desk spec.gateway.auth.apiKeys.secretRef"}
    return [each.message.removeprefix("Secret tenants: ") for each in found]


def test_good_keys_are_accepted_also_an_old_beside_a_new_one():
    assert faults(blue=BLUE, red=RED + b"\n red-key-of-last-month \n\n") == []


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({}, "it names no tenant: add a data key for each, with its key as the value"),
        ({"blue": b""}, "tenant blue: it holds no key: write one, or remove the tenant"),
        ({"blue": b" \n"}, "tenant blue: it holds no key: write one, or remove the tenant"),
        (
            {"blue": b"short"},
            "tenant blue: a key has fewer than 16 characters: make one with `openssl rand -hex 32`",
        ),
        ({"blue": b"k" * 513}, "tenant blue: a key has more than 512 characters: shorten it"),
        (
            {"blue": b"two words that are long enough"},
            "tenant blue: a key may hold visible ASCII characters only",
        ),
        (
            {"blue": "schlüssel-der-lang-genug-ist".encode()},
            "tenant blue: a key may hold visible ASCII characters only",
        ),
        ({"blue": b"\xff" * 20}, "tenant blue: a key may hold visible ASCII characters only"),
        (
            {"blue": b"\n".join(b"key-number-%d-of-many" % n for n in range(5))},
            "tenant blue: it holds more than 4 keys: remove the old ones",
        ),
        ({"b" * 64: BLUE}, f"tenant {'b' * 64}: the name has more than 63 characters: shorten it"),
        ({"blue": BLUE, "red": BLUE}, "blue and red have the same key: give each one of its own"),
        (
            {"blue": BLUE, "red": RED + b"\n" + BLUE},
            "blue and red have the same key: give each one of its own",
        ),
    ],
)
def test_a_bad_key_is_named_with_the_fix_and_never_shown(keys: dict[str, bytes], fault: str):
    assert faults(**keys) == [fault]
    assert not any(
        line in fault for value in keys.values() for line in value.decode(errors="replace").split()
    )


def test_keys_are_not_judged_where_nobody_could_read_them():
    assert checks.failures(desk(GUARDED)) == ()


def test_a_secret_that_is_missing_is_named():
    (failure,) = checks.failures(desk(GUARDED, secrets={"frontier": frozenset({"token"})}))

    assert failure.reason == "SecretNotFound"
    assert str(failure) == (
        "ModelPortfolio/desk spec.gateway.auth.apiKeys.secretRef: there is no Secret tenants in namespace"
        " bank: create it"
    )


def test_the_table_says_who_may_ask_and_holds_no_key():
    table = rendered({PORTFOLIO: {"gateway.auth": {**KEYS, "jwt": JWT}}}).table

    jwt = Jwt(issuer="https://id.acme.dev", audiences=("chat", "folio"), jwks_uri="https://id.acme.dev/jwks")
    assert table.auth == Auth(api_keys=True, jwt=jwt)
    assert rendered({PORTFOLIO: {"gateway.auth": {"jwt": JWT}}}).table.auth == Auth(jwt=jwt)
    assert rendered().table.auth is None


def test_the_gateway_alone_is_given_the_keys_under_a_name_that_no_secret_can_have():
    (copy, frontier) = sorted(rendered(GUARDED).copies, key=lambda each: not each.of_tenants)

    assert copy == Copy("gateway", "tenants", None, of_tenants=True)
    assert copy.file_of("blue") == "_tenant.blue"
    assert frontier == Copy("gateway", "frontier", "token")


def test_asking_for_keys_is_an_edit_in_place():
    found = plan(desired(desk(GUARDED), Circumstances()), desired(desk(), Circumstances()))

    assert found.effect is Effect.IN_PLACE
    (change,) = found.changes
    assert change.message.endswith(": auth")


def a_secret(**keys: bytes) -> dict[str, object]:
    data = {name: base64.b64encode(value).decode() for name, value in keys.items()}
    metadata = {"name": "tenants", "namespace": "bank"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


async def test_keys_come_and_go_in_the_secret_that_the_gateway_mounts(settled: Shell):
    settled.cluster.add(a_secret(blue=BLUE))
    settled.write(GUARDED)
    await settled.pass_over()
    assert base64.b64decode(settled.secret("desk-gateway")["_tenant.blue"]) == BLUE
    assert "_tenant.blue" not in settled.secret("desk-models")
    service = settled.service()

    settled.cluster.add(a_secret(red=RED))
    settled.clock.seconds += 1000
    settled.cluster.writes.clear()
    await settled.pass_over()

    held = settled.secret("desk-gateway")
    assert [name for name in held if name.startswith("_tenant.")] == ["_tenant.red"]
    assert settled.service() == service
    assert [each for each in settled.cluster.writes if "Secret" in each] == ["apply Secret/desk-gateway"]


async def test_the_keys_of_the_last_good_revision_stay_while_an_edit_names_a_missing_secret(settled: Shell):
    settled.cluster.add(a_secret(blue=BLUE))
    settled.write(GUARDED)
    await settled.pass_over()
    settled.write({PORTFOLIO: {"gateway.auth": {"apiKeys": {"secretRef": {"name": "missing"}}}}})
    await settled.pass_over()

    assert settled.condition("Accepted") == ("False", "SecretNotFound")
    assert "_tenant.blue" in settled.secret("desk-gateway")


async def test_a_duplicate_key_is_a_condition(settled: Shell):
    settled.cluster.add(a_secret(blue=BLUE, red=BLUE))
    settled.write(GUARDED)
    await settled.pass_over()

    assert settled.condition("Accepted") == ("False", "TenantKeyInvalid")
    assert "blue and red have the same key" in settled.message("Accepted")
    status = yaml.safe_dump(settled.cluster.one(kinds.PORTFOLIO, "desk")["status"])
    assert BLUE.decode() not in status


async def test_a_secret_that_is_gone_closes_the_door(settled: Shell):
    settled.cluster.add(a_secret(blue=BLUE))
    settled.write(GUARDED)
    await settled.pass_over()
    settled.cluster.remove(kinds.SECRET, Key("bank", "tenants"))
    settled.clock.seconds += 1000
    await settled.pass_over(DESK)

    assert settled.condition("Accepted") == ("False", "SecretNotFound")
    assert "_tenant.blue" not in settled.secret("desk-gateway")

"""Who may ask: keys in files, one tenant each, and what the gateway says to everybody else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.integration.gateway.conftest import SMALL_LARGE, TOKEN, Portfolio
from tests.integration.gateway.models import Plays

from folio_api.spec import tenant_file
from folio_api.table import Auth, Table
from folio_serving.metrics import MOST_TENANTS, Metrics
from folio_serving.secrets import Secrets

BLUE, RED = "blue-key-0123456789abcdef", "red-key-0123456789abcdef"
GUARDED: Table = SMALL_LARGE.model_copy(update={"auth": Auth(api_keys=True)}).with_revision()
OPEN = SMALL_LARGE


def put(folder: Path, tenant: str, keys: str) -> None:
    """As the operator's mount and `folio up` do it: another file under the same name."""
    draft = folder / ".draft"
    draft.write_text(keys)
    draft.replace(folder / tenant_file(tenant))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
async def guarded(portfolio: Portfolio, tmp_path: Path) -> Portfolio:
    put(tmp_path, "blue", BLUE)
    put(tmp_path, "red", f"{RED}\nred-key-of-last-month\n")
    await portfolio.apply(GUARDED)
    portfolio.process.health.close()
    return portfolio


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at on every request, not once a second."""
    monkeypatch.setattr("folio_serving.tenants.CHECK_SECONDS", 0.0)


async def chat(portfolio: Portfolio, headers: dict[str, str], **fields: object) -> object:
    body = {"model": "folio", "messages": [{"role": "user", "content": "hi"}], **fields}
    return await portfolio.client.post("/v1/chat/completions", json=body, headers=headers)


async def test_a_tenant_with_its_key_is_answered(guarded: Portfolio) -> None:
    assert (await chat(guarded, bearer(BLUE))).status_code == 200
    assert (await chat(guarded, {"Authorization": f"bEARER  {BLUE} "})).status_code == 200


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "an API key is needed: send it as `Authorization: Bearer KEY`"),
        ({"authorization": "Bearer "}, "an API key is needed"),
        ({"authorization": f"Basic {BLUE}"}, "an API key is needed"),
        ({"authorization": BLUE}, "an API key is needed"),
        ({"api-key": BLUE}, "an API key is needed"),
        (bearer("wrong"), "the API key is not known here"),
        (bearer(BLUE[:-1]), "the API key is not known here"),
        (bearer(BLUE + "x"), "the API key is not known here"),
        (bearer(TOKEN), "the API key is not known here"),
        (bearer("x" * 8193), "the token is longer than 8192 characters"),
        (bearer("k\xfcy"), "the API key is not known here"),
    ],
)
async def test_nobody_else_is_and_no_model_is_asked(guarded: Portfolio, headers, said: str) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = await chat(guarded, raw)
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert said in error["message"]
    assert (error["type"], error["code"], error["param"]) == (
        "invalid_request_error",
        "invalid_api_key",
        None,
    )
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-folio-reason"] == "Unauthorized"
    assert guarded.models.asked == []


async def test_two_authorization_headers_are_refused(guarded: Portfolio) -> None:
    headers = [("authorization", f"Bearer {BLUE}"), ("authorization", "Bearer other")]
    body = {"model": "folio", "messages": [{"role": "user", "content": "hi"}]}
    answer = await guarded.client.post("/v1/chat/completions", json=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "authorization")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/folio/route"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/small"),
        ("GET", "/v1/chat/completions"),
        ("GET", "/v1"),
        ("GET", "/v1/%6dodels"),
        ("GET", "//v1/models"),
        ("GET", "/v1/../healthz/../v1/models"),
        ("GET", "/else"),
    ],
)
async def test_every_path_but_the_open_ones_wants_a_key(guarded: Portfolio, method: str, path: str) -> None:
    assert (await guarded.client.request(method, path)).status_code == 401


async def test_probes_and_metrics_want_none_and_the_state_its_own_token(guarded: Portfolio) -> None:
    get = guarded.client.get
    assert (await get("/healthz")).status_code == 200
    assert (await get("/readyz")).status_code == 503  # no canary was sent here: an answer, not a refusal
    assert (await get("/metrics")).status_code == 200
    assert (await get("/internal/state?replica", headers=bearer(BLUE))).status_code == 404
    assert (await get("/internal/state?replica", headers={"x-folio-token": TOKEN})).status_code == 200


async def test_without_auth_nobody_is_asked_for_a_key(portfolio: Portfolio) -> None:
    assert (await chat(portfolio, {})).status_code == 200
    assert (await chat(portfolio, bearer("anything"))).status_code == 200
    portfolio.process.answering.close()
    assert "tenant" not in portfolio.log.getvalue()
    assert "folio_tenant_requests_total{" not in (await portfolio.client.get("/metrics")).text


async def test_an_edit_asks_for_keys_at_once_and_another_asks_no_more(
    guarded: Portfolio, tmp_path: Path
) -> None:
    assert (await chat(guarded, {})).status_code == 401
    await guarded.apply(OPEN)
    assert (await chat(guarded, {})).status_code == 200


async def test_a_candidate_is_no_way_around_the_door(guarded: Portfolio) -> None:
    await guarded.apply(GUARDED, candidate=OPEN)
    asked = {"x-folio-revision": OPEN.revision}
    assert (await chat(guarded, asked)).status_code == 401
    answer = await chat(guarded, {**asked, **bearer(BLUE)})
    assert (answer.status_code, answer.headers["x-folio-revision"]) == (200, OPEN.revision)


async def test_an_old_and_a_new_key_are_both_good(guarded: Portfolio) -> None:
    assert (await chat(guarded, bearer(RED))).status_code == 200
    assert (await chat(guarded, bearer("red-key-of-last-month"))).status_code == 200


@pytest.mark.usefixtures("later")
async def test_a_new_key_counts_and_one_that_is_gone_does_not_without_a_restart(
    guarded: Portfolio, tmp_path: Path
) -> None:
    assert (await chat(guarded, bearer("green-key-0123456789"))).status_code == 401
    put(tmp_path, "green", "green-key-0123456789")
    assert (await chat(guarded, bearer("green-key-0123456789"))).status_code == 200
    put(tmp_path, "green", "green-key-of-tomorrow")
    assert (await chat(guarded, bearer("green-key-0123456789"))).status_code == 401
    (tmp_path / tenant_file("green")).unlink()
    assert (await chat(guarded, bearer("green-key-of-tomorrow"))).status_code == 401
    assert (await chat(guarded, bearer(BLUE))).status_code == 200


@pytest.mark.usefixtures("later")
async def test_files_that_did_not_change_are_not_read_again(
    guarded: Portfolio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = 1_000_000_000 * 10**9
    os.utime(tmp_path, ns=(long_ago, long_ago))
    assert (await chat(guarded, bearer(BLUE))).status_code == 200
    monkeypatch.setattr(Secrets, "beginning", lambda *_: pytest.fail("read again"))
    assert (await chat(guarded, bearer(BLUE))).status_code == 200
    assert (await chat(guarded, bearer("wrong"))).status_code == 401


@pytest.mark.usefixtures("later")
async def test_a_key_of_two_tenants_opens_for_neither(guarded: Portfolio, tmp_path: Path) -> None:
    put(tmp_path, "thief", BLUE)
    assert (await chat(guarded, bearer(BLUE))).status_code == 401
    assert (await chat(guarded, bearer(RED))).status_code == 200


@pytest.mark.usefixtures("later")
async def test_another_secret_never_passes_for_a_key(guarded: Portfolio, tmp_path: Path) -> None:
    (tmp_path / "frontier.token").write_text("the-key-of-a-provider")
    (tmp_path / "tenant.token").write_text("the-key-of-another")
    assert (await chat(guarded, bearer("the-key-of-a-provider"))).status_code == 401
    assert (await chat(guarded, bearer("the-key-of-another"))).status_code == 401


async def test_no_model_is_shown_the_key(guarded: Portfolio) -> None:
    await chat(guarded, bearer(BLUE))
    (told,) = guarded.models.headers
    assert BLUE not in json.dumps(told)
    assert "authorization" not in told


async def test_the_log_and_the_metrics_name_the_tenant_and_never_the_key(guarded: Portfolio) -> None:
    guarded.models.plays["small"] = Plays("four", mean=0.8)
    for key in (BLUE, BLUE, RED):
        await chat(guarded, bearer(key))
    await chat(guarded, bearer("wrong-key-of-somebody"))
    guarded.process.answering.close()
    lines = [json.loads(line) for line in guarded.log.getvalue().splitlines()]
    assert [line["tenant"] for line in lines] == ["blue", "blue", "red"]
    metrics = (await guarded.client.get("/metrics")).text
    assert 'folio_tenant_requests_total{status="200",tenant="blue"} 2.0' in metrics
    assert 'folio_tenant_tokens_total{gen_ai_token_type="input",tenant="red"} 7.0' in metrics
    assert 'folio_requests_total{path="/v1/chat/completions",status="401"} 1.0' in metrics
    cost = 2 * (7 * 10 + 5 * 20) / 1_000_000
    assert f'folio_tenant_cost_usd_total{{tenant="blue"}} {cost}' in metrics
    for secret in (BLUE, RED, "wrong-key-of-somebody"):
        assert secret not in guarded.log.getvalue() + metrics


def test_the_metrics_name_a_bounded_number_of_tenants() -> None:
    metrics = Metrics()
    labels = [metrics.tenant(f"user-{number}") for number in range(MOST_TENANTS + 50)]
    assert len(set(labels)) == MOST_TENANTS + 1
    assert labels[-1] == "other"
    assert metrics.tenant("user-0") == "user-0"

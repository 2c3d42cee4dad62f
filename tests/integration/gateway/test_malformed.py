"""Nonsense costs no model's time, and says which field is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.gateway.conftest import Portfolio
from tests.integration.gateway.malformed import CASES, CHAT, Case

from folio_serving.gateway import MAX_BODY_BYTES

CODES = {400: "invalid_request_error", 404: "invalid_request_error", 405: "invalid_request_error"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_malformed_request_gets_its_own_error(portfolio: Portfolio, case: Case) -> None:
    answer = await portfolio.client.request(
        case.method, case.path, content=case.content, headers=dict(case.headers)
    )
    revision = portfolio.process.keeper.active.table.revision
    error = {
        "message": case.message.replace("REVISION", revision),
        "type": CODES.get(case.status, "invalid_request_error"),
        "param": case.param,
        "code": case.code,
    }
    assert (answer.status_code, answer.json()) == (case.status, {"error": error})
    assert portfolio.models.asked == []


def test_there_are_at_least_sixty_of_them() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60


async def test_a_body_too_large_is_refused_while_it_is_read(portfolio: Portfolio) -> None:
    async def chunks() -> Any:
        for _ in range(MAX_BODY_BYTES // 2**20 + 2):
            yield b" " * 2**20

    answer = await portfolio.client.post(CHAT, content=chunks())
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"


async def test_a_content_length_given_twice_is_refused(portfolio: Portfolio) -> None:
    headers = [("content-length", "2"), ("content-length", "3"), ("content-type", "application/json")]
    answer = await portfolio.client.post(CHAT, content=b"{}", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "header content-length is there twice"

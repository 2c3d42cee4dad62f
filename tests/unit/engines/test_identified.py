from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.unit.engines.asgi import FakeEngine, play

from folio_serving.engines.identified import Identified

LOADED = {"legal": "legal-id"}


def adapters() -> Mapping[str, str]:
    return LOADED


@pytest.mark.parametrize(
    ("asked", "identity"),
    [({}, "base-id"), ({"x-folio-model": "base"}, "base-id"), ({"x-folio-model": "legal"}, "legal-id")],
)
async def test_an_answer_says_whose_it_is(asked: dict[str, str], identity: str) -> None:
    played = await play(Identified(FakeEngine([b"{}"]), "base-id", adapters), headers=asked)
    assert played.headers["x-folio-identity"] == identity
    assert played.headers["content-type"] == "application/json"
    assert played.body == b"{}"


async def test_a_failed_answer_does_too() -> None:
    played = await play(Identified(FakeEngine([b"{}"], status=500), "base-id"))
    assert (played.status, played.headers["x-folio-identity"]) == (500, "base-id")

from __future__ import annotations

import os
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send
from tests.unit.engines.asgi import FakeEngine, Played, play

from folio_serving.engines.guard import Guard, TokenFile


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "internal-token"
    path.write_text("s3cret\n")
    return path


def replace(token_file: Path, content: str | None) -> None:
    token_file.unlink()
    if content is not None:
        token_file.write_text(content)
        os.utime(token_file, ns=(1, 1))


async def asked(
    token_file: Path, *, path: str = "/v1/models", headers: dict[str, str] | None = None
) -> Played:
    return await play(Guard(FakeEngine([b"secret list"]), TokenFile(token_file)), path=path, headers=headers)


async def test_the_right_token_passes(token_file: Path) -> None:
    played = await asked(token_file, headers={"x-folio-token": "s3cret"})
    assert (played.status, played.body) == (200, b"secret list")


@pytest.mark.parametrize(
    "headers", [{}, {"x-folio-token": ""}, {"x-folio-token": "S3cret"}, {"authorization": "s3cret"}]
)
@pytest.mark.parametrize("path", ["/", "/metrics", "/health", "/docs", "/v1/models", "/openapi.json"])
async def test_without_it_every_path_is_a_bare_404(
    token_file: Path, path: str, headers: dict[str, str]
) -> None:
    played = await asked(token_file, path=path, headers=headers)
    assert (played.status, played.body, played.headers) == (404, b"", {"content-length": "0"})


async def test_a_new_token_holds_from_the_next_request(token_file: Path) -> None:
    guard = Guard(FakeEngine([b"ok"]), TokenFile(token_file))
    assert (await play(guard, headers={"x-folio-token": "s3cret"})).status == 200
    replace(token_file, "other!")
    assert (await play(guard, headers={"x-folio-token": "s3cret"})).status == 404
    assert (await play(guard, headers={"x-folio-token": "other!"})).status == 200


@pytest.mark.parametrize("content", ["", "\n", None])
async def test_no_token_file_or_an_empty_one_lets_nobody_pass(token_file: Path, content: str | None) -> None:
    replace(token_file, content)
    assert (await asked(token_file, headers={"x-folio-token": ""})).status == 404
    assert (await asked(token_file)).status == 404


async def test_a_websocket_without_the_token_is_closed_before_it_opens(token_file: Path) -> None:
    guard = Guard(FakeEngine([]), TokenFile(token_file))
    played = await play(guard, path="/v1/realtime", type="websocket")
    assert played.messages == [{"type": "websocket.close", "code": 1008}]


async def test_the_lifespan_passes(token_file: Path) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    await play(Guard(app, TokenFile(token_file)), type="lifespan")
    assert seen == ["lifespan"]


def test_the_token_is_found_in_the_secrets_directory(
    token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLIO_SECRETS_DIR", str(token_file.parent))
    assert TokenFile.of_environment().token() == b"s3cret"

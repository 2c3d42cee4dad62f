from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.unit.engines.asgi import FakeEngine, play

from folio_serving.engines.vllm.departure import Departure

SCOPE: Scope = {"type": "http"}


@dataclass
class ListeningApp:
    """An app as vLLM's: its work is a task beside its listener, and only the disconnect message ends both."""

    deaf: bool = False
    heard: list[Message] = field(default_factory=list)
    working: asyncio.Future[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.working = asyncio.ensure_future(asyncio.sleep(3600))
        if self.deaf:
            await self.working
        listener = asyncio.ensure_future(receive())
        await asyncio.wait({self.working, listener}, return_when=asyncio.FIRST_COMPLETED)
        self.heard.append(listener.result())
        self.working.cancel()


async def silent() -> Message:
    await asyncio.sleep(3600)
    raise AssertionError


async def ignored(message: Message) -> None:
    pass


async def cancelled(app: ListeningApp, grace_seconds: float = 5.0) -> None:
    request = asyncio.ensure_future(Departure(app, grace_seconds)(SCOPE, silent, ignored))
    await asyncio.sleep(0.01)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await asyncio.sleep(0.01)


async def test_a_cancelled_request_is_a_client_that_left() -> None:
    app = ListeningApp()
    await cancelled(app)
    assert app.heard == [{"type": "http.disconnect"}]
    assert app.working is not None
    assert app.working.cancelled()


async def test_an_app_that_does_not_listen_is_cancelled_after_its_grace() -> None:
    app = ListeningApp(deaf=True)
    await cancelled(app, grace_seconds=0.01)
    assert app.working is not None
    assert app.working.cancelled()


async def test_the_disconnect_message_itself_still_arrives() -> None:
    app = ListeningApp()

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    await Departure(app)(SCOPE, gone, ignored)
    assert app.heard == [{"type": "http.disconnect"}]


async def test_an_answer_passes() -> None:
    assert (await play(Departure(FakeEngine([b"a", b"b"])), body=b"asked")).body == b"ab"


async def test_an_apps_own_error_is_its_own() -> None:
    async def dies(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("engine")

    with pytest.raises(RuntimeError, match="engine"):
        await play(Departure(dies))

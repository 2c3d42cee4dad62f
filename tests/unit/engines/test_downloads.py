"""What of downloads is told, and how it ends, while parts of Ray do not answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import pytest

from folio_serving.downloads import Boards, Notice
from folio_serving.replicas import Download


class Told:
    """A board's method as Ray hands it out; without an answer its node is out of reach."""

    def __init__(self, answer: Download | None) -> None:
        self._answer = answer

    def remote(self) -> Awaitable[Download]:
        answered: asyncio.Future[Download] = asyncio.get_running_loop().create_future()
        if self._answer is not None:
            answered.set_result(self._answer)
        return answered


@dataclass
class Board:
    told: Told


async def test_a_board_that_is_out_of_reach_hides_no_other() -> None:
    near = Download("hf://acme/tiny", 1, 2)
    boards: dict[str, Any] = {
        "download/model-far/r1": Board(Told(None)),
        "download/model-near/r1": Board(Told(near)),
    }

    async with asyncio.timeout(1.0):  # what the gateway gives it
        assert await Boards(lambda: boards).read() == {"model-near": near}


def test_a_download_ends_although_its_notice_is_not_taken_down(monkeypatch: pytest.MonkeyPatch) -> None:
    back = threading.Event()

    class Away(Notice):
        def _keep_telling(self) -> None:
            back.wait(10)

    monkeypatch.setattr("folio_serving.downloads.LEAVE_SECONDS", 0.1)
    began = time.monotonic()
    with Away("model-small", "r1", "hf://acme/tiny") as notice:
        notice.tell(0, 100)
    took = time.monotonic() - began
    back.set()

    assert took < 5

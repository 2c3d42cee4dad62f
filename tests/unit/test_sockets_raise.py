"""The unit tier's own rule, tested."""

import asyncio
import socket

import pytest
from pytest_socket import SocketBlockedError


def test_a_unit_test_cannot_open_a_socket():
    with pytest.warns(UserWarning, match=r"tried to use socket"), pytest.raises(SocketBlockedError):
        socket.socket(socket.AF_INET, socket.SOCK_STREAM)


async def test_a_unit_test_still_has_an_event_loop():
    await asyncio.sleep(0)

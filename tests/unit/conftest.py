"""A unit test needs nothing from outside: opening a socket raises. Event loops keep their Unix socket pair."""

import pytest
from pytest_socket import disable_socket, enable_socket


@pytest.fixture(autouse=True)
def _no_sockets():
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()

"""Free ports on this machine for a Ray of its own, so that portfolios run side by side."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import psutil

from folio_cli.local.state import Ports

LOOPBACK = "127.0.0.1"
OTHER_PORTS = 11
REPLICA_PORTS = 200
"""Ports a portfolio's replicas may take, half of them for gRPC, which Serve opens too."""
REPLICA_RANGE = (20000, 32000)
"""Below where the kernel takes the ports of outgoing connections from."""


class PortInUseError(Exception):
    """Somebody else listens there."""


def choose(http: int) -> Ports:
    """Return the wanted HTTP port (0: any free one), and free ports for everything else."""
    if http:
        _insist(http)
    with ExitStack() as held:
        found = [_held(held) for _ in range(OTHER_PORTS + 3)]
    first = _free_block(REPLICA_PORTS)
    return Ports(
        http=http or found[0],
        gcs=found[1],
        dashboard=found[2],
        others=tuple(found[3:]),
        replicas=(first, first + REPLICA_PORTS // 2 - 1),
    )


def _insist(port: int) -> None:
    if is_free(port):
        return
    owner = owner_of(port)
    raise PortInUseError(
        f"port {port} is in use{f' by {owner}' if owner else ''}: stop that, or add --port NUMBER"
    )


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def owner_of(port: int) -> str | None:
    """Return who listens on the port, as far as we may see it."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return None
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.pid
        if listens and getattr(connection.laddr, "port", None) == port:
            return f"{_name(connection.pid or 0)} (process {connection.pid})"
    return None


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "a process"


def _held(stack: ExitStack) -> int:
    """Return a free port; it stays taken until all are found, so none is given twice."""
    probe = stack.enter_context(socket.socket())
    probe.bind((LOOPBACK, 0))
    port: int = probe.getsockname()[1]
    return port


def _free_block(size: int) -> int:
    for first in range(REPLICA_RANGE[0], REPLICA_RANGE[1], size):
        if all(is_free(port) for port in range(first, first + size)):
            return first
    raise PortInUseError(f"no {size} free ports in a row from {REPLICA_RANGE[0]}: stop another portfolio")

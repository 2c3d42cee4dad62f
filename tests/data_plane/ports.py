"""Free loopback ports for clusters that run side by side on one machine."""

from __future__ import annotations

import socket


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago; all are held until the last one is found, so none is given twice."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def free_block(size: int, first: int = 32768) -> int:
    """Return the first port of a free block below `first`: replicas take consecutive ports from a range of their own."""
    for start in range(first - size, 20000, -size):
        if all(_is_free(port) for port in range(start, start + size)):
            return start
    raise RuntimeError(f"no {size} free ports in a row between 20000 and {first}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0

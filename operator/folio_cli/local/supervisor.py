"""Owns the processes of one local portfolio: opens their session, runs Ray in it, and ends every one of them.

It stops when it is told to (SIGTERM), when Ray ends, or when whoever holds its standard input goes away: so a
terminal that is closed, or a `folio up` that is killed, leaves nothing behind.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import psutil

from folio_cli.local.processes import end, members
from folio_cli.local.state import StateDir

POLL_SECONDS = 0.5
ATTACHED, DETACHED = "attached", "detached"


class _Told(Exception):  # noqa: N818 - an order, no error
    """Somebody wants this portfolio to stop."""


def supervise(state: StateDir, command: list[str], *, attached: bool) -> int:
    """Run the command until it ends or we are told to stop; then end the whole session. Returns the exit
    status.
    """
    signal.signal(signal.SIGTERM, _tell)
    signal.signal(signal.SIGINT, _tell)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    began = psutil.Process().create_time()
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - built by ray_head.py
        return _watch(child, attached=attached)
    except _Told:
        return 0
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _clean(state, began)


def _tell(_number: int, _frame: FrameType | None) -> None:
    raise _Told


def _watch(child: subprocess.Popen[bytes], *, attached: bool) -> int:
    while (status := child.poll()) is None:
        if attached and _is_orphan():
            return 0
        if not attached:
            time.sleep(POLL_SECONDS)
    print(f"Ray ended by itself with status {status}", file=sys.stderr)
    return status or 1


def _is_orphan() -> bool:
    """Wait a moment for the holder of our standard input; whether it is gone."""
    readable, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
    return bool(readable) and not os.read(sys.stdin.fileno(), 64)


def _clean(state: StateDir, began: float) -> None:
    own = os.getpid()

    def others() -> tuple[psutil.Process, ...]:
        return tuple(each for each in members(own, began) if each.pid != own)

    end(others)
    running = state.load()
    if running is not None and running.session == own:
        shutil.rmtree(running.ray_dir, ignore_errors=True)
        state.running.unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    mode, folder, *command = arguments
    return supervise(StateDir(Path(folder)), command, attached=mode == ATTACHED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

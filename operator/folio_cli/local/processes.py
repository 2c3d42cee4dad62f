"""The processes of one local portfolio, told apart by their session.

Ray, Serve, HAProxy and vLLM's children rename themselves, get new parents and make process groups of their
own, but stay in the session that the supervisor opened. A session's id is not given to anybody else while one
process of it lives.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import psutil

from folio_cli.local.state import Running

CLOCK_SLACK_SECONDS = 2.0


def started_at(pid: int) -> float | None:
    """Return when a process began, or None if it is gone."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def is_supervised(running: Running) -> bool:
    """Whether the supervisor of `running` lives: that very process, not one that got its number."""
    began = started_at(running.session)
    return began is not None and abs(began - running.started) < CLOCK_SLACK_SECONDS


def members(session: int, started: float) -> tuple[psutil.Process, ...]:
    """Return the living processes of the session, none if its number belongs to a later one by now."""
    leader = started_at(session)
    if leader is not None and abs(leader - started) >= CLOCK_SLACK_SECONDS:
        return ()
    return tuple(process for process in psutil.process_iter() if _is_member(process, session))


def _is_member(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False


def end(
    find: Callable[[], tuple[psutil.Process, ...]], *, grace_seconds: float = 4.0, kill_seconds: float = 10.0
) -> int:
    """Ask all processes to end, then make them; return how many are left: 0, but for unkillable ones."""
    _signal(find(), signal.SIGTERM)
    if _gone_within(find, grace_seconds):
        return 0
    deadline = time.monotonic() + kill_seconds
    while left := find():
        if time.monotonic() > deadline:
            return len(left)
        _signal(left, signal.SIGKILL)
        time.sleep(0.05)
    return 0


def _gone_within(find: Callable[[], tuple[psutil.Process, ...]], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not find():
            return True
        time.sleep(0.1)
    return False


def _signal(processes: tuple[psutil.Process, ...], number: int) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue

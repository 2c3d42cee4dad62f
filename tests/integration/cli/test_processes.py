"""Real processes, in the place of Ray's: whatever happens to their owner, none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from folio_cli.local import bringing_up, processes
from folio_cli.local.state import Ports, Running, StateDir

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
FAMILY = f"""
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {STUBBORN!r}])            # does not end when asked to
if os.fork() == 0:                                                # loses its parent, leads a group of its own
    os.setpgid(0, 0)
    time.sleep(300)
time.sleep(0 if sys.argv[1:] == ["ends"] else 300)
"""
PORTS = Ports(http=1, gcs=2, dashboard=3, replicas=(4, 5))


@dataclass
class Supervised:
    state: StateDir
    process: subprocess.Popen[bytes]
    running: Running

    def members(self) -> tuple[psutil.Process, ...]:
        return processes.members(self.running.session, self.running.started)


Start = Callable[..., Supervised]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Supervised] = []

    def begin(mode: str = "attached", *arguments: str) -> Supervised:
        state = StateDir(tmp_path / "state")
        state.create()
        folder = tmp_path / "ray"
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", FAMILY, *arguments]
        process = subprocess.Popen(
            [sys.executable, "-m", "folio_cli.local.supervisor", mode, str(state.path), *command],
            stdin=subprocess.PIPE if mode == "attached" else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        running = Running(
            portfolio="p",
            session=process.pid,
            started=psutil.Process(process.pid).create_time(),
            ports=PORTS,
            ray_dir=str(folder),
        )
        state.save(running)
        one = Supervised(state, process, running)
        started.append(one)
        if not arguments:
            assert within(20, lambda: len(one.members()) == 4)
        return one

    yield begin
    for one in started:
        for each in one.members():
            each.kill()
        one.process.wait()
        if one.process.stdin:
            one.process.stdin.close()


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_terminal_that_goes_away_ends_everything(start: Start):
    one = start("attached")

    one.process.stdin.close()

    assert within(20, lambda: not one.members())
    assert one.process.wait(5) == 0
    assert not one.state.running.exists()
    assert not Path(one.running.ray_dir).exists()


def test_a_detached_one_needs_no_terminal_and_ends_when_told(start: Start):
    one = start("detached")

    os.kill(one.process.pid, signal.SIGTERM)

    assert within(20, lambda: not one.members())
    assert one.process.wait(5) == 0


def test_a_hang_up_alone_ends_nothing(start: Start):
    one = start("detached")

    os.kill(one.process.pid, signal.SIGHUP)

    assert not within(1, lambda: not processes.is_supervised(one.running))


def test_when_ray_ends_by_itself_the_rest_goes_too(start: Start):
    one = start("detached", "ends")

    assert one.process.wait(30) == 1
    assert one.members() == ()


def test_down_finds_what_a_killed_supervisor_left(start: Start):
    one = start("detached")
    one.process.kill()
    one.process.wait()
    assert not processes.is_supervised(one.running)
    assert len(one.members()) == 3

    assert bringing_up.stop(one.state, one.running) == 0

    assert one.members() == ()
    assert one.state.load() is None


def test_a_number_that_somebody_else_has_by_now_is_left_alone(start: Start):
    one = start("detached")
    stranger = one.running.model_copy(update={"started": one.running.started - 3600})

    assert not processes.is_supervised(stranger)
    assert processes.members(stranger.session, stranger.started) == ()

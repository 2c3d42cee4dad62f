"""From a state directory to a running portfolio, and back to nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from folio_cli.exits import Problem
from folio_cli.local import ports, processes, ray_head, supervisor
from folio_cli.local.applied import Applied
from folio_cli.local.serve_api import ServeApi, ServeError
from folio_cli.local.sizing import logical_cpus
from folio_cli.local.state import Running, StateDir, write_private
from folio_cli.local.watching import Eyes
from folio_operator import effective, site
from folio_operator.desired import Circumstances, Desired, desired
from folio_operator.retry import has_given_up
from folio_operator.serve_config import GATEWAY
from folio_operator.status import last_line
from folio_operator.succession import Asked, Drains, Past
from folio_operator.world import Application

RAY_SECONDS = 180.0
GATEWAY_SECONDS = 300.0
"""On two busy cores Ray was seen to take 70 s; on quiet ones both come within 15."""
DOOR_SECONDS = 90.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.3
LOG_LINES = 12


@dataclass(frozen=True)
class Started:
    """A supervisor that we started. While `leash` is open it lives; closing it ends it, unless it is
    detached.
    """

    running: Running
    process: subprocess.Popen[bytes]


def start_ray(state: StateDir, applied: Applied, *, http_port: int, detach: bool) -> Started:
    """Start the supervisor with Ray below it, and wait until Ray answers."""
    chosen = ports.choose(http_port)
    shutil.rmtree(state.ray_dir, ignore_errors=True)
    for folder in (ray_head.SCRATCH_FOLDER, ray_head.HAPROXY_FOLDER):
        (state.ray_dir / folder).mkdir(parents=True, mode=0o700)
    draft = Running(
        portfolio=applied.portfolio.key.name, session=0, started=0, ports=chosen, ray_dir=str(state.ray_dir)
    )
    process = _spawn(state, applied, draft, detach=detach)
    began = psutil.Process(process.pid).create_time()
    running = draft.model_copy(update={"session": process.pid, "started": began})
    state.save(running)
    _await_ray(state, running, process)
    return Started(running, process)


def _spawn(state: StateDir, applied: Applied, running: Running, *, detach: bool) -> subprocess.Popen[bytes]:
    on_gpus = any(effective.gpus(member) for member in applied.portfolio.members)
    ray = ray_head.command(running, logical_cpus(applied.portfolio))
    mode = supervisor.DETACHED if detach else supervisor.ATTACHED
    with state.log.open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "folio_cli.local.supervisor", mode, str(state.path), *ray],
            env=ray_head.environment(running, state, os.environ, on_gpus=on_gpus),
            stdin=subprocess.DEVNULL if detach else subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _await_ray(state: StateDir, running: Running, process: subprocess.Popen[bytes]) -> None:
    api = ServeApi(running.ports.dashboard, state.ray_token.read_text().strip())
    if _within(RAY_SECONDS, lambda: process.poll() is not None or api.is_up()) and process.poll() is None:
        return
    tail = log_tail(state.log)
    stop(state, running)
    raise Problem(f"Ray did not start; the whole log is {state.log}", tail)


@dataclass
class Deployment:
    """What one command asks of Serve: again and again, until nothing is on its way any more."""

    eyes: Eyes
    state: StateDir
    applied: Applied
    http_port: int
    drains: Drains = field(default_factory=Drains)

    def start(self) -> None:
        """Ask for the gateway alone, then for all, so that no model keeps the gateway from answering."""
        self.state.asked.unlink(missing_ok=True)
        self._put(self._desired(None, applications=(GATEWAY,)))
        _await_gateway(self.eyes)
        self._put(self._desired(None))

    def apply(self) -> None:
        """Ask for what is wanted now, whether or not it was asked for before."""
        self._put(self._desired(self._past()))

    def advance(self) -> None:
        """Ask for what follows from what has come up or drained meanwhile, if anything does."""
        past = self._past()
        wanted = self._desired(past)
        self.drains.note(self.state, wanted.succession, past.gateway, time.monotonic())
        if json.dumps(wanted.serve_config) != self._asked():
            self._put(wanted)

    @property
    def draining(self) -> frozenset[str]:
        """Applications that finish what they began before they are removed."""
        return frozenset(self._desired(self._past()).succession.draining)

    def _desired(self, past: Past | None, *, applications: Collection[str] | None = None) -> Desired:
        here = site.local(self.http_port)
        circumstances = Circumstances(
            site=here, nonces=self.applied.nonces, applications=applications, past=past
        )
        return desired(self.applied.portfolio, circumstances)

    def _past(self) -> Past:
        drained = self.drains.over(self.state, time.monotonic())
        return Past(Asked.of(json.loads(self._asked())), self.eyes.gateway.state(), drained)

    def _asked(self) -> str:
        try:
            return self.state.asked.read_text()
        except OSError:
            return "{}"

    def _put(self, wanted: Desired) -> None:
        self.eyes.serve.put(wanted.serve_config)
        write_private(self.state.asked, json.dumps(wanted.serve_config))


def _await_gateway(eyes: Eyes) -> None:
    """Wait until the gateway runs and its port answers: HAProxy comes up by itself, a little later."""

    def is_decided() -> bool:
        seen = _applications(eyes.serve).get(GATEWAY)
        return seen is not None and (seen.state == "RUNNING" or has_given_up(seen))

    decided = _within(GATEWAY_SECONDS, is_decided)
    gateway = _applications(eyes.serve).get(GATEWAY)
    if not decided or gateway is None or gateway.state != "RUNNING":
        message = gateway.message if gateway else ""
        raise Problem("the gateway did not start", [last_line(message) or "no reason was given"])
    if not _within(DOOR_SECONDS, lambda: eyes.gateway.state() is not None):
        raise Problem(
            f"nothing answers on {eyes.gateway.url}", ["HAProxy, which stands before it, did not start"]
        )


def _applications(api: ServeApi) -> dict[str, Application]:
    """Return what Serve says; nothing while it is too busy to say it."""
    try:
        return api.applications()
    except ServeError:
        return {}


def stop(state: StateDir, running: Running) -> int:
    """End every process of a portfolio and remove what they left; returns how many could not be ended."""
    if processes.is_supervised(running):
        _terminate(running.session)
        _within(STOP_SECONDS, lambda: not processes.is_supervised(running))
    left = processes.end(lambda: processes.members(running.session, running.started))
    shutil.rmtree(running.ray_dir, ignore_errors=True)
    if not left:
        state.running.unlink(missing_ok=True)
    return left


def _terminate(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return


def log_tail(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return []


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(POLL_SECONDS)
    return False

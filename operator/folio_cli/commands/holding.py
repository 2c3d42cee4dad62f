"""Waiting with the user: until a portfolio has come up, and while it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass

from folio_cli import show
from folio_cli.exits import OK, Problem
from folio_cli.local import bringing_up, processes
from folio_cli.local.applied import load_applied
from folio_cli.local.bringing_up import Deployment, Started
from folio_cli.local.state import Running, StateDir
from folio_cli.local.watching import Eyes, is_settled
from folio_cli.progress import Lines, Progress
from folio_operator.status import NEXT_FAILED, Status
from folio_operator.world import Portfolio

LOOK_SECONDS = 0.5
HELD_LOOK_SECONDS = 2.0
FAILED_FOR_SECONDS = 8.0
"""A canary that failed is sent again after 5 s; only a model that stays failed is given up on."""


LATE_SECONDS = 30.0
"""How much later than we a gateway may begin to count a model's time to start."""


@dataclass(frozen=True)
class Scene:
    """What one looks at while it comes up."""

    deployment: Deployment
    running: Running
    is_new: bool = True
    """Whether it came up for the first time: then one is told how to talk to it."""

    @property
    def portfolio(self) -> Portfolio:
        return self.deployment.applied.portfolio

    @property
    def timeout_seconds(self) -> float:
        """How long to wait at most: by then the gateway has called everything Failed that is late."""
        longest = max(entry.startup_timeout_seconds for entry in self.portfolio.resource.spec.models)
        return longest + LATE_SECONDS


def until_settled(scene: Scene, lines: Progress) -> Status:
    """Show every model until nothing more will happen by itself; say at once when the portfolio answers."""
    began = settled_since = time.monotonic()
    told = not scene.is_new
    while True:
        scene.deployment.advance()
        status = scene.deployment.eyes.status(scene.portfolio)
        lines.show(status)
        if not told and status.finding("Ready").status == "True":
            told = True
            _say(lines, invitation(scene.running.url, scene.portfolio))
        now = time.monotonic()
        settled_since = settled_since if is_settled(status) else now
        if (
            is_settled(status) and now - settled_since >= _patience(status)
        ) or now - began > scene.timeout_seconds:
            return status
        _insist_that_it_runs(scene)
        time.sleep(LOOK_SECONDS)


def until_drained(scene: Scene, lines: Progress) -> None:
    """Wait until the applications that nobody asks any more have finished what they began, and are gone."""
    told: frozenset[str] = frozenset()
    while draining := scene.deployment.draining:
        if draining != told:
            told = draining
            _say(lines, [f"{name} finishes what it began, then it is removed" for name in sorted(draining)])
        _insist_that_it_runs(scene)
        time.sleep(LOOK_SECONDS)
        scene.deployment.advance()
    scene.deployment.advance()


def _insist_that_it_runs(scene: Scene) -> None:
    if not processes.is_supervised(scene.running):
        raise Problem("it was stopped while it came up", ["folio up starts it again"])


def _say(lines: Progress, said: list[str]) -> None:
    for line in said:
        lines.say(line)


def _patience(status: Status) -> float:
    failed = any(model.state == "Failed" or model.reason == NEXT_FAILED for model in status.models)
    return FAILED_FOR_SECONDS if failed else 0.0


def invitation(url: str, portfolio: Portfolio) -> list[str]:
    """Return how to talk to it."""
    question = '{"model": "folio", "messages": [{"role": "user", "content": "Hello"}]}'
    guarded = portfolio.resource.spec.gateway.auth is not None
    header = "-H 'authorization: Bearer KEY' " if guarded else ""
    return [
        "every ladder answers now; the models that are still loading join as they come",
        f"  curl {url}/v1/chat/completions {header}-H 'content-type: application/json' -d '{question}'",
        f'  openai.OpenAI(base_url="{url}/v1", api_key="{"KEY" if guarded else "any"}")',
        f"  folio chat --portfolio {portfolio.key.name}{' --api-key KEY' if guarded else ''}",
    ]


def hold(state: StateDir, started: Started) -> int:
    """Keep the terminal, tell what changes, and end everything at Ctrl-C or SIGTERM."""
    running = started.running
    lines = Lines(show.console())
    lines.say("serving; Ctrl-C stops it")
    try:
        while processes.is_supervised(running):
            applied = load_applied(state)
            if applied is not None:
                lines.show(Eyes.on(running, state).status(applied.portfolio))
            time.sleep(HELD_LOOK_SECONDS)
    except KeyboardInterrupt:
        lines.say("stopping")
        bringing_up.stop(state, running)
        lines.say("stopped; no process is left")
        return OK
    if not state.running.exists():
        lines.say("stopped from elsewhere")
        return OK
    tail = bringing_up.log_tail(state.log)
    bringing_up.stop(state, running)
    raise Problem("Ray ended by itself", [*tail, f"the whole log is {state.log}"])

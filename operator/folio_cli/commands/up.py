"""`folio up`: serve a portfolio on this machine, or apply an edit to the one that runs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import PydanticCustomError

from folio_api.urls import HTTP_URL
from folio_cli import inputs, options, show
from folio_cli.commands.holding import Scene, hold, until_drained, until_settled
from folio_cli.exits import FAILED, OK, UsageProblem
from folio_cli.local import applied as applications
from folio_cli.local import bringing_up, materials, ports, processes, sizing
from folio_cli.local.applied import Applied
from folio_cli.local.bringing_up import Deployment
from folio_cli.local.state import Running, StateDir
from folio_cli.local.watching import Eyes
from folio_cli.progress import Progress, progress
from folio_cli.upstream import KEY, NAME, Upstream, insist_on_answer, with_upstream
from folio_operator import site
from folio_operator.desired import Circumstances, desired
from folio_operator.plan import plan
from folio_operator.retry import retried
from folio_operator.world import Portfolio

Upstream_ = Annotated[
    str | None,
    typer.Option("--upstream", metavar="URL", help="OpenAI-compatible URL to add as the last rung."),
]


@dataclass(frozen=True)
class Wanted:
    """What this command was asked to make true."""

    given: inputs.Given
    portfolio: Portfolio
    volumes: Mapping[str, Path]
    state: StateDir
    port: int | None
    detach: bool
    quiet: bool


def up(
    file: options.Files,
    volume: options.Volumes = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = None,
    state_dir: options.Folder = None,
    portfolio: options.Name = None,
    upstream: Upstream_ = None,
    upstream_model: Annotated[str, typer.Option(help="Name of the model at --upstream.")] = "folio",
    upstream_input_price: Annotated[str, typer.Option(metavar="USD", help="Per million tokens in.")] = "0",
    upstream_output_price: Annotated[str, typer.Option(metavar="USD", help="Per million tokens out.")] = "0",
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is up; `folio down` ends it.")
    ] = False,
    skip_memory_check: Annotated[bool, typer.Option(help="Start even if memory looks too small.")] = False,
    output: options.Format = show.Output.TEXT,
) -> None:
    """Serve a portfolio on this machine with real models.

    The first `up` holds the terminal until Ctrl-C; another one with an edited file applies it and returns.

    \b
    Examples:
      folio up -f modelportfolio.yaml --volume models=./models
      folio up -f portfolio/ --upstream https://api.example.com/v1 --detach
    """
    added = _upstream(upstream, upstream_model, upstream_input_price, upstream_output_price)
    given = inputs.read(file, portfolio)
    state = StateDir.of(given.name, state_dir)
    volumes = {**materials.held_volumes(state), **materials.parse_volumes(volume or [])}
    accepted = _accepted(given, added, volumes)
    if added is not None:
        insist_on_answer(added)
    wanted = Wanted(
        accepted.given, accepted.portfolio, volumes, state, port, detach, output is show.Output.JSON
    )
    held = state.load()
    if held is not None and processes.is_supervised(held):
        raise typer.Exit(_edit(wanted, held))
    if held is not None:
        bringing_up.stop(state, held)
    _insist_on_room(wanted.portfolio, skip_memory=skip_memory_check)
    raise typer.Exit(_start(wanted))


@dataclass(frozen=True)
class Accepted:
    given: inputs.Given
    portfolio: Portfolio


def _accepted(given: inputs.Given, added: Upstream | None, volumes: Mapping[str, Path]) -> Accepted:
    """Return the portfolio that passed every check and has all that it reads."""
    extended = (
        inputs.Given(with_upstream(given.portfolio, added), given.loaded, given.environ) if added else given
    )
    portfolio = inputs.checked(extended, volumes)
    missing = materials.missing_volumes(portfolio, volumes)
    if missing:
        raise UsageProblem("volumes are missing", missing)
    return Accepted(extended, portfolio)


def _upstream(url: str | None, model: str, input_price: str, output_price: str) -> Upstream | None:
    if url is None:
        return None
    try:
        HTTP_URL.read(url)
    except PydanticCustomError as error:
        raise UsageProblem(f"--upstream: {error.message()}", ["write it up to and with /v1"]) from error
    key = os.environ.get(inputs.variable(NAME, KEY))
    return Upstream(
        url, model, options.money(input_price), options.money(output_price), key.strip() if key else None
    )


def _insist_on_room(portfolio: Portfolio, *, skip_memory: bool) -> None:
    found = sizing.obstacles(portfolio, sizing.this_machine())
    kept = [line for line in found if not (skip_memory and "memory" in line)]
    if kept:
        raise UsageProblem("this machine is too small", kept)


def _start(wanted: Wanted) -> int:
    """Start Ray, the gateway, then the models; hold the terminal or return when all is settled."""
    signal.signal(signal.SIGTERM, _interrupt)
    materials.place(wanted.state, wanted.given, wanted.portfolio, wanted.volumes)
    applied = Applied(wanted.portfolio)
    show_lines = progress(show.console(), quiet=wanted.quiet)
    with show_lines:
        try:
            started = _ray(wanted, applied, show_lines)
            running = started.running
            eyes = Eyes.on(running, wanted.state)
            show_lines.say(f"Ray is up; starting the gateway on {running.url}")
            deployment = Deployment(eyes, wanted.state, applied, running.ports.http)
            deployment.start()
            applications.save(wanted.state, applied)
            show_lines.say(f"the gateway answers on {running.url}/v1")
            _tell(wanted, show_lines)
            status = until_settled(Scene(deployment, running), show_lines)
        except BaseException:
            _stop_what_started(wanted.state)
            raise
    if wanted.quiet:
        show.print_json(show.status_json(status, f"{running.url}/v1"))
    if wanted.detach:
        return OK if status.finding("Ready").status == "True" else FAILED
    return hold(wanted.state, started)


def _ray(wanted: Wanted, applied: Applied, lines: Progress) -> bringing_up.Started:
    lines.say(f"starting Ray for portfolio {wanted.portfolio.key.name}")
    port = 8000 if wanted.port is None else wanted.port
    try:
        return bringing_up.start_ray(wanted.state, applied, http_port=port, detach=wanted.detach)
    except ports.PortInUseError as error:
        raise UsageProblem(str(error)) from error


def _stop_what_started(state: StateDir) -> None:
    held = state.load()
    if held is not None:
        bringing_up.stop(state, held)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _tell(wanted: Wanted, lines: Progress) -> None:
    for line in worth_knowing(wanted.portfolio, wanted.volumes):
        lines.say(line)


def worth_knowing(portfolio: Portfolio, volumes: Mapping[str, Path]) -> Iterator[str]:
    """Return what will not be on this machine as the files have it."""
    for line in materials.missing_files(portfolio, volumes):
        yield f"{line}: this model will fail, the others serve"
    if portfolio.resource.spec.rollout.canary is not None:
        yield "rollout.canary: on one machine every edit goes live at once, for all of the traffic"


def _edit(wanted: Wanted, running: Running) -> int:
    """Apply an edit to what runs, say what it does, and wait until it is done."""
    if wanted.port not in (None, 0, running.ports.http):
        raise UsageProblem(
            f"it runs on port {running.ports.http}", ["run folio down first, then up with --port"]
        )
    before = applications.load_applied(wanted.state)
    eyes = Eyes.on(running, wanted.state)
    nonces = retried(before.nonces if before else {}, wanted.portfolio, eyes.serve.applications())
    applied = Applied(wanted.portfolio, nonces)
    here = Circumstances(site=site.local(running.ports.http), nonces=nonces)
    old = desired(before.portfolio, replace(here, nonces=before.nonces)) if before else None
    found = plan(desired(wanted.portfolio, here), old)
    if not wanted.quiet:
        show.print_lines(show.plan_lines(found))
    materials.place(wanted.state, wanted.given, wanted.portfolio, wanted.volumes)
    applications.save(wanted.state, applied)
    began = time.monotonic()
    deployment = Deployment(eyes, wanted.state, applied, running.ports.http)
    deployment.apply()
    with progress(show.console(), quiet=wanted.quiet) as lines:
        _tell(wanted, lines)
        scene = Scene(deployment, running, is_new=False)
        status = until_settled(scene, lines)
        until_drained(scene, lines)
    if wanted.quiet:
        show.print_json({"plan": show.plan_json(found), **show.status_json(status, f"{running.url}/v1")})
    else:
        show.print_lines([f"revision {status.revision} serves after {time.monotonic() - began:.1f} s"])
    return OK if status.finding("Ready").status == "True" else FAILED

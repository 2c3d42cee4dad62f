"""Which running portfolio a command means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic_core import PydanticCustomError

from folio_api.urls import HTTP_URL
from folio_cli.exits import Problem, UsageProblem
from folio_cli.local.applied import Applied, load_applied
from folio_cli.local.processes import is_supervised
from folio_cli.local.state import Running, StateDir, known_portfolios
from folio_cli.local.watching import Eyes


@dataclass(frozen=True)
class Found:
    """A portfolio that runs on this machine."""

    state: StateDir
    running: Running
    applied: Applied

    @property
    def eyes(self) -> Eyes:
        return Eyes.on(self.running, self.state)


def state_dir(name: str | None, override: Path | None) -> StateDir:
    """Return the state directory that is meant: the one given, the portfolio's, or the only one there is."""
    if override is not None or name is not None:
        return StateDir.of(name or "", override)
    known = known_portfolios()
    if len(known) > 1:
        names = ", ".join(state.path.name for state in known)
        raise UsageProblem("several portfolios run here", [f"add --portfolio with one of {names}"])
    if not known:
        raise Problem("no portfolio runs here", ["start one with: folio up -f modelportfolio.yaml"])
    return known[0]


def running(name: str | None, override: Path | None) -> Found:
    """Return the running portfolio that is meant, or say how to start one."""
    state = state_dir(name, override)
    held = state.load()
    if held is None:
        raise Problem(f"nothing runs in {state.path}", ["start it with: folio up -f modelportfolio.yaml"])
    if not is_supervised(held):
        raise Problem(f"portfolio {held.portfolio} ended without cleaning up", ["run: folio down"])
    applied = load_applied(state)
    if applied is None:
        raise Problem(f"{state.applied} cannot be read", ["run folio down, then folio up"])
    return Found(state, held, applied)


def gateway(url: str | None, name: str | None, folder: Path | None) -> str:
    """Return where the gateway that is meant answers, without /v1: the one of --url, or of what runs here."""
    if url is None:
        return running(name, folder).running.url
    try:
        HTTP_URL.read(url)
    except PydanticCustomError as error:
        raise UsageProblem(f"--url: {error.message()}", ["write it up to and with /v1"]) from error
    return url.rstrip("/").removesuffix("/v1")

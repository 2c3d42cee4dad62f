"""How a portfolio comes up, as one watches it: a table that changes on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from folio_api.table import ModelState
from folio_operator.status import Status

ON_THE_WAY = dict.fromkeys(("Downloading", "Loading", "Updating"), "yellow")
STYLES = {"Ready": "green", "Idle": "green", "Failed": "red", **ON_THE_WAY}


class Progress(Protocol):
    """Shows one status after the other."""

    def show(self, status: Status) -> None: ...

    def say(self, line: str) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def progress(console: Console, *, quiet: bool = False) -> Progress:
    """Return what suits the console."""
    if console.is_terminal and not quiet:
        return LiveTable(console)
    return Lines(console, quiet=quiet)


class Lines:
    """One line for each thing that changed, with the seconds since the beginning."""

    def __init__(
        self, console: Console, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._quiet = quiet
        self._clock = clock
        self._began = clock()
        self._seen: dict[str, str] = {}

    def show(self, status: Status) -> None:
        for model in status.models:
            line = described(model)
            if self._seen.get(model.name) != line:
                self._seen[model.name] = line
                self.say(line)

    def say(self, line: str) -> None:
        if not self._quiet:
            seconds = self._clock() - self._began
            self._console.print(f"{seconds:6.1f} s  {line}", highlight=False, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


class LiveTable:
    """All models at once, redrawn in place; what is said stands above."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._since: dict[str, tuple[str, float]] = {}
        self._live = Live(console=console, refresh_per_second=4, transient=False)

    def show(self, status: Status) -> None:
        self._live.update(self._table(status))

    def say(self, line: str) -> None:
        self._console.print(f"{time.monotonic() - self._began:6.1f} s  {line}", highlight=False, markup=False)

    def _table(self, status: Status) -> Table:
        table = Table("model", "state", "seconds", "why", "stands in", box=None, pad_edge=False)
        now = time.monotonic()
        for model in status.models:
            state, since = self._since.get(model.name, ("", now))
            if state != model.state:
                since = self._began if not state else now
                self._since[model.name] = (model.state, since)
            style = STYLES.get(model.state, "dim")
            seconds = "" if model.state in ("Ready", "Idle") else f"{now - since:.0f}"
            table.add_row(model.name, f"[{style}]{model.state}", seconds, why(model), model.served_by)
        return table

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def why(model: ModelState) -> str:
    """Return why a model, or its next version, is not ready, in as few words as there are."""
    return model.message or ("" if model.state in ("Ready", "Idle") else model.reason)


def described(model: ModelState) -> str:
    """Return a model's state as one line."""
    cause = f": {why(model)}" if why(model) else ""
    stand_in = f" ({model.served_by} stands in)" if model.served_by else ""
    return f"{model.name} is {model.state}{cause}{stand_in}"

"""`folio down`: end a running portfolio, and clean up after one that crashed."""

from __future__ import annotations

import typer

from folio_cli import options, running, show
from folio_cli.exits import FAILED
from folio_cli.local import bringing_up
from folio_cli.local.state import known_portfolios


def down(
    portfolio: options.Name = None,
    state_dir: options.Folder = None,
    output: options.Format = show.Output.TEXT,
) -> None:
    """Stop a portfolio that runs on this machine; every process of it is gone afterwards.

    \b
    Examples:
      folio down
      folio down --portfolio quickstart
    """
    if portfolio is None and state_dir is None and not known_portfolios():
        _report(output, None, stopped=False, left=0)
        return
    state = running.state_dir(portfolio, state_dir)
    held = state.load()
    left = bringing_up.stop(state, held) if held is not None else 0
    name = held.portfolio if held is not None else portfolio or state.path.name
    _report(output, name, stopped=held is not None, left=left)
    if left:
        raise typer.Exit(FAILED)


def _report(output: show.Output, name: str | None, *, stopped: bool, left: int) -> None:
    if output is show.Output.JSON:
        show.print_json({"portfolio": name, "stopped": stopped, "left": left})
    elif stopped:
        show.print_lines([f"portfolio {name} is stopped; {left or 'no'} process is left"])
    else:
        show.print_lines([f"portfolio {name} does not run" if name else "no portfolio runs here"])

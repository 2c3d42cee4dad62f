"""`folio`: serve, ask and plan a portfolio. Usage errors end with 64, so that plan's 2 and 3 are
unmistakable.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from folio_cli.commands.chat import chat
from folio_cli.commands.down import down
from folio_cli.commands.index import index
from folio_cli.commands.plan import plan
from folio_cli.commands.render import render
from folio_cli.commands.route import route
from folio_cli.commands.status import status
from folio_cli.commands.up import up
from folio_cli.exits import INTERRUPTED, OK, USAGE, Problem
from folio_cli.local.serve_api import ServeError
from folio_cli.show import print_problem

COMMANDS = (up, chat, route, status, plan, render, index, down)
HELP = """Serve a portfolio of models behind one OpenAI-compatible gateway: cheap first, larger when it must.

\b
Examples:
  folio up -f examples/quickstart/modelportfolio.yaml --volume models=./models
  folio chat "I lost my card"
"""


def application() -> typer.Typer:
    """Return the command with its subcommands."""
    app = typer.Typer(
        name="folio",
        help=HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        rich_markup_mode=None,
    )
    for command in COMMANDS:
        app.command()(command)
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; problems are told in lines, never as a traceback."""
    command = typer.main.get_command(application())
    try:
        result = command.main(args=arguments, prog_name="folio", standalone_mode=False)
    except Problem as problem:
        print_problem(problem)
        return problem.status
    except ServeError as error:
        print_problem(Problem(str(error), ["folio status tells more; folio down, then up starts anew"]))
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except typer.TyperException as error:
        _show(error)
        return USAGE
    return result if isinstance(result, int) else OK


def _show(error: typer.TyperException) -> None:
    """Print a usage error with the command's usage; what has none says its message."""
    show = getattr(error, "show", None)
    if show is not None:
        show()
    else:
        print_problem(Problem(str(error)))


def main() -> None:
    """Entry point of `folio` and `kubectl folio`."""
    sys.exit(run())


if __name__ == "__main__":
    main()

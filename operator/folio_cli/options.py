"""The options that several commands share, each with one help text."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from folio_cli.show import Output

Files = Annotated[
    list[Path], typer.Option("--file", "-f", help="YAML file or folder with resources; may be repeated.")
]
Name = Annotated[
    str | None, typer.Option("--portfolio", "-p", help="Which ModelPortfolio, where there are several.")
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--state-dir", help="Where a running portfolio keeps its state; one per portfolio by default."
    ),
]
Volumes = Annotated[
    list[str] | None,
    typer.Option(
        "--volume", metavar="NAME=PATH", help="Folder that volume://NAME stands for; may be repeated."
    ),
]
Format = Annotated[Output, typer.Option("--output", "-o", help="text for people, json for scripts.")]
Headers = Annotated[
    list[str] | None,
    typer.Option("--header", "-H", metavar="NAME=VALUE", help="Header of the request; may be repeated."),
]

ApiKey = Annotated[
    str,
    typer.Option("--api-key", envvar="FOLIO_API_KEY", help="Key or token, where the gateway wants one."),
]

Context = Annotated[
    str | None,
    typer.Option("--context", help="Context of the kubeconfig: the portfolio of a cluster is meant."),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", help="Namespace of the cluster; the files' or the context's by default."
    ),
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Kubeconfig of the cluster; as kubectl's by default.")
]


def money(text: str) -> Decimal:
    """Return an amount in USD."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise typer.BadParameter(f"{text} is no amount in USD such as 0.70")
    return amount


def headers(options: list[str] | None) -> dict[str, str]:
    """Return name -> value of the --header options."""
    found = {}
    for option in options or []:
        name, separator, value = option.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{option} is not NAME=VALUE", param_hint="--header")
        if not f"{name}{value}".isascii() or not f"{name}{value}".isprintable():
            raise typer.BadParameter(
                f"{option!r} has a character that no header may hold", param_hint="--header"
            )
        found[name.strip().lower()] = value.strip()
    return found

"""`folio status`: what is true of a running portfolio."""

from __future__ import annotations

import typer

from folio_cli import options, running, show
from folio_cli.cluster import reading, telling
from folio_cli.exits import FAILED


def status(
    portfolio: options.Name = None,
    state_dir: options.Folder = None,
    context: options.Context = None,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    output: options.Format = show.Output.TEXT,
) -> None:
    """Show models, conditions, revision and URL of the portfolio that runs here, or in a cluster; ends with 1
    if it is not Ready.

    \b
    Examples:
      folio status
      folio status --output json | jq .revision
      folio status --context production --namespace bank
      kubectl folio status -n bank
    """
    place = None if state_dir else reading.where(context, namespace, kubeconfig)
    if place is not None:
        _of_cluster(place, portfolio, output)
        return
    found = running.running(portfolio, state_dir)
    seen = found.eyes.status(found.applied.portfolio)
    url = f"{found.running.url}/v1"
    if output is show.Output.JSON:
        show.print_json(show.status_json(seen, url))
    else:
        show.print_lines(
            [f"portfolio {found.running.portfolio} at {url}, revision {seen.revision or 'unconfirmed'}"]
        )
        show.console().print(show.status_table(seen))
        show.print_lines(
            f"{each.type}: {each.status} {each.reason}{f': {each.message}' if each.message else ''}"
            for each in seen.findings
        )
    if seen.finding("Ready").status != "True":
        raise typer.Exit(FAILED)


def _of_cluster(place: reading.Where, name: str | None, output: show.Output) -> None:
    found = telling.chosen(reading.read(place), name)
    if output is show.Output.JSON:
        show.print_json(telling.as_json(found))
    else:
        show.print_lines(telling.lines(found))
        show.console().print(telling.models(found))
        show.print_lines(telling.conditions(found))
    if not telling.is_ready(found):
        raise typer.Exit(FAILED)

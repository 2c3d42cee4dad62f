"""`folio route`: where a question would go, and why, without asking anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from folio_cli import inputs, options, running, show
from folio_cli.exits import Problem
from folio_cli.local.gateway_api import GatewayApi, GatewayError
from folio_operator.render_table import routing_table

Offline = Annotated[
    list[Path] | None,
    typer.Option("--file", "-f", help="Route by these files, with nothing running; may be repeated."),
]


def route(
    text: Annotated[str, typer.Argument(help="The question.")],
    file: Offline = None,
    header: options.Headers = None,
    model: Annotated[
        str, typer.Option(help="What the client asks for: folio, folio/INTENT or a model.")
    ] = "folio",
    url: Annotated[str | None, typer.Option(help="A gateway elsewhere, up to /v1.")] = None,
    api_key: options.ApiKey = "",
    portfolio: options.Name = None,
    state_dir: options.Folder = None,
    output: options.Format = show.Output.TEXT,
) -> None:
    """Show the intent of a question, what decided it, and the ladder it would climb.

    \b
    Examples:
      folio route "I lost my card"
      folio route "translate this" --header x-task=code
      folio route "I lost my card" -f modelportfolio.yaml
    """
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    given = options.headers(header)
    if file:
        found = _offline(file, portfolio, body, given)
    else:
        base = running.gateway(url, portfolio, state_dir)
        found = _online(GatewayApi(base, api_key=api_key), body, given)
    if output is show.Output.JSON:
        show.print_json(found)
    else:
        show.print_lines(_sentences(found))


def _online(api: GatewayApi, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    try:
        return api.route(body, headers)
    except GatewayError as error:
        raise Problem(f"{api.url} does not route it", [str(error)]) from error


def _offline(
    files: list[Path], name: str | None, body: dict[str, Any], headers: dict[str, str]
) -> dict[str, Any]:
    """Return what a gateway would say that had just been given these files."""
    from folio_cli.offline import explained  # noqa: PLC0415 - the data plane is only needed here

    accepted = inputs.checked(inputs.read(files, name), with_secrets=False)
    return explained(routing_table(accepted), body, headers)


def _sentences(found: dict[str, Any]) -> list[str]:
    decided = " ".join(str(part) for part in (found["source"], found.get("matched")) if part)
    lines = [f"intent    {found['intent'] or '(default ladder)'}, decided by {decided}"]
    classifier = found.get("classifier")
    if classifier:
        lines.append("sure      " + ", ".join(f"{key} {_number(value)}" for key, value in classifier.items()))
    if found.get("data_classes"):
        lines.append(f"data      {', '.join(found['data_classes'])}")
    lines += [
        f"{'' if number else 'ladder':9} {number}. {rung['model']}{_condition(rung)}"
        for number, rung in enumerate(found["ladder"])
    ]
    lines += [
        f"{'skipped':9} {skipped['model']}: {skipped['reason']} {skipped['message']}"
        for skipped in found.get("skipped", ())
    ]
    return [*lines, f"exhausted {found['on_exhausted']}", f"revision  {found['revision']}"]


def _condition(rung: dict[str, Any]) -> str:
    accept = rung.get("accept")
    if accept is None or accept["signal"] == "Always":
        return ", any answer"
    if accept.get("target"):
        return f", {accept['signal']} with at most {accept['target']['max_error_rate']:.0%} errors"
    bound = f" from {accept['at_least']}" if accept.get("at_least") is not None else ""
    return f", {accept['signal']}{bound}"


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)

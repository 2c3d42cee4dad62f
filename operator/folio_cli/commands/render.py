"""`folio render`: every manifest of a portfolio, with all defaults visible."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer
import yaml

from folio_cli import inputs, options, show
from folio_operator.desired import Circumstances, Desired, desired


class Part(StrEnum):
    """What to print."""

    MANIFESTS = "manifests"
    SERVE = "serve"
    TABLE = "table"


def render(
    file: options.Files,
    part: Annotated[
        Part, typer.Option(help="manifests of a cluster, serve configuration, or routing table.")
    ] = (Part.MANIFESTS),
    portfolio: options.Name = None,
    output: options.Format = show.Output.TEXT,
) -> None:
    """Print what the operator would apply, as YAML; nothing is contacted.

    \b
    Examples:
      folio render -f modelportfolio.yaml
      folio render -f modelportfolio.yaml --part table
    """
    accepted = inputs.checked(inputs.read(file, portfolio), with_secrets=False, for_cluster=True)
    content = _content(desired(accepted, Circumstances()), part)
    if output is show.Output.JSON:
        show.print_json(content)
    else:
        documents = content if isinstance(content, list) else [content]
        typer.echo(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True), nl=False)


def _content(wanted: Desired, part: Part) -> Any:
    if part is Part.TABLE:
        return wanted.table.model_dump(mode="json")
    return wanted.serve_config if part is Part.SERVE else list(wanted.manifests)


class _Dumper(yaml.SafeDumper):
    """YAML that shows a text of several lines as a block, and the same object twice as two."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class's
        return True


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)

"""`folio index`: make the index that a retriever answers from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from folio_cli import options, show
from folio_cli.exits import Problem, UsageProblem

MINILM_DIR = "FOLIO_MINILM_DIR"


def index(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with Markdown, text and HTML.")],
    to: Annotated[Path, typer.Option("--to", help="Folder of the index; replaced at once if it is there.")],
    embedder: Annotated[
        Path | None,
        typer.Option(envvar=MINILM_DIR, help="ONNX folder of the encoder that will embed the questions too."),
    ] = None,
    output: options.Format = show.Output.TEXT,
) -> None:
    """Index documents for a retriever; the model that `embedderRef` names must be the one given here.

    \b
    Examples:
      folio index docs/ --to models/handbook --embedder models/minilm
    """
    if not folder.is_dir():
        raise UsageProblem(f"{folder} is no folder", ["name the folder with the documents"])
    if embedder is None:
        fix = (
            f"add --embedder DIR, or set {MINILM_DIR}: python -m folio_serving.classify.export DIR makes one"
        )
        raise UsageProblem("no encoder is given", [fix])
    from folio_serving.retrieve.index import IndexingError, build_index  # noqa: PLC0415 - heavy, and only here

    try:
        summary = build_index(folder, to, embedder)
    except (IndexingError, OSError) as error:
        raise Problem("the index was not made", [str(error)]) from error
    if output is show.Output.JSON:
        show.print_json(
            {
                "target": os.fspath(summary.target),
                "documents": summary.documents,
                "passages": summary.passages,
                "embedder": summary.embedder,
                "skipped": [list(each) for each in summary.skipped],
            }
        )
        return
    show.print_lines([f"{summary.documents} documents, {summary.passages} passages -> {summary.target}"])
    show.print_lines(f"skipped {path}: {reason}" for path, reason in summary.skipped)

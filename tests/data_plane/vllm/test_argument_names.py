"""The names of engine arguments are read from vLLM's source: they are those that vLLM itself would take."""

from __future__ import annotations

import dataclasses

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.cli_args import FrontendArgs

from folio_serving.engines.vllm.arguments import known_arguments


def test_the_names_read_from_the_source_are_the_fields_of_the_imported_classes() -> None:
    fields = {each.name for cls in (AsyncEngineArgs, FrontendArgs) for each in dataclasses.fields(cls)}
    assert fields == known_arguments()

"""The names of engine arguments are read from vLLM's source: they are those that vLLM itself would take."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.cli_args import FrontendArgs

from folio_operator.checks.allowance import CODE, FETCHED, PROPOSERS, REACHING
from folio_serving.engines.vllm.arguments import known_arguments


def test_the_names_read_from_the_source_are_the_fields_of_the_imported_classes() -> None:
    fields = {each.name for cls in (AsyncEngineArgs, FrontendArgs) for each in dataclasses.fields(cls)}
    assert fields == known_arguments()


def test_every_argument_has_been_judged_whether_it_brings_in_code_or_reaches_a_host() -> None:
    """One that is new belongs into the operator's lists, or, once it was looked at, into the file."""
    listed = {name.partition(".")[0] for name in {*CODE, *FETCHED, *REACHING, *PROPOSERS}}
    harmless = set(Path(__file__).with_name("harmless_arguments.txt").read_text().splitlines())
    harmless = {name for line in harmless if not line.startswith("#") for name in line.split()}
    assert sorted(known_arguments() - listed - harmless) == []
    assert sorted((listed | harmless) - known_arguments()) == [], "vLLM has these no longer"
    assert sorted(listed & harmless) == []

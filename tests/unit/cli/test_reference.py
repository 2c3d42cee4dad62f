"""The command's page says what the command does."""

from __future__ import annotations

from pathlib import Path

from folio_cli import reference

ROOT = Path(__file__).parents[3]


def test_the_command_s_page_is_its_help():
    assert (ROOT / reference.PAGE).read_text() == reference.page(), "run `python -m folio_cli.reference`"

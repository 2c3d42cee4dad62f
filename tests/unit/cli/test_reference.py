"""The reference pages say what the code does."""

from __future__ import annotations

from pathlib import Path

from folio_cli import reference
from folio_operator.failure import REASONS

ROOT = Path(__file__).parents[3]


def test_the_command_s_page_is_its_help():
    assert (ROOT / reference.PAGE).read_text() == reference.page(), "run `python -m folio_cli.reference`"


def test_every_reason_of_the_checks_has_its_paragraph():
    page = (ROOT / "docs/reference/conditions.md").read_text()

    assert [reason for reason in REASONS if f"- **{reason}**:" not in page] == []


def test_every_reason_of_a_condition_is_explained():
    page = (ROOT / "docs/reference/conditions.md").read_text()
    given = (
        "GatewayUnseen",
        "Converging",
        "Rejected",
        "Loading",
        "Degraded",
        "NoAnswer",
        "TooFew",
        "NoGateway",
        "NoRungAnswers",
    )

    assert [reason for reason in given if f"**{reason}**" not in page] == []

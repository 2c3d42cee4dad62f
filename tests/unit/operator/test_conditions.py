"""Which turns of conditions become events."""

from __future__ import annotations

import pytest

from folio_operator.conditions import transitions

Said = tuple[str, str, str]


def condition(said: Said) -> dict[str, str]:
    kind, status, reason = said
    return {"type": kind, "status": status, "reason": reason, "message": f"{reason} it is"}


def told(before: list[Said], after: list[Said]) -> list[tuple[str, str]]:
    turns = transitions([condition(each) for each in before], [condition(each) for each in after])
    return [(turn.severity, turn.reason) for turn in turns]


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        ([], [("Ready", "False", "NoGateway")], []),
        ([], [("Accepted", "False", "UnknownRung")], [("Warning", "UnknownRung")]),
        ([], [("Accepted", "True", "Valid")], []),
        ([("Accepted", "False", "UnknownRung")], [("Accepted", "True", "Valid")], [("Normal", "Accepted")]),
        ([], [("Ready", "True", "Answering")], [("Normal", "Ready")]),
        ([("Ready", "True", "Answering")], [("Ready", "True", "Other")], []),
        ([("Ready", "True", "Answering")], [("Ready", "False", "NoRung")], [("Warning", "NoRung")]),
        ([("Stalled", "True", "A")], [("Stalled", "True", "B")], [("Warning", "B")]),
        ([("GatewayReady", "True", "A")], [("GatewayReady", "False", "TooFew")], []),
        ([("Programmed", "False", "A")], [("Programmed", "False", "A")], []),
    ],
)
def test_a_turn_is_told_and_a_beginning_or_a_repetition_is_not(
    before: list[Said], after: list[Said], events: list[tuple[str, str]]
):
    assert told(before, after) == events


def test_stalled_does_not_repeat_what_made_it_so():
    after = [("Accepted", "False", "UnknownRung"), ("Stalled", "True", "UnknownRung")]
    assert told([("Accepted", "True", "Valid")], after) == [("Warning", "UnknownRung")]

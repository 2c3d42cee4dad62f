"""Findings as Kubernetes writes them: since when each holds, of which generation, and what is an event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from folio_operator.children import Manifest
from folio_operator.status import Finding

LONGEST_MESSAGE = 4096
TOLD = ("Accepted", "Programmed", "ModelsReady", "Ready", "Exposed", "Stalled")
"""Conditions whose turns people want to read as events."""


@dataclass(frozen=True)
class Transition:
    """A condition that turned."""

    severity: Literal["Normal", "Warning"]
    reason: str
    message: str


def conditions(
    findings: Iterable[Finding], before: Sequence[Mapping[str, Any]], generation: int | None, now: datetime
) -> list[Manifest]:
    """Return the conditions; one that holds as before keeps its time."""
    known = {each["type"]: each for each in before}
    return [_condition(finding, known.get(finding.type), generation, now) for finding in findings]


def transitions(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> Iterator[Transition]:
    """Return what changed its status, or stayed untrue for another reason; nothing is told twice.

    Stalled repeats what made it so, and its event would repeat the other's.
    """
    yield from dict.fromkeys(_transitions(before, after))


def _transitions(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> Iterator[Transition]:
    known = {each["type"]: (each["status"], each["reason"]) for each in before}
    for each in after:
        kind, status, reason = each["type"], each["status"], each["reason"]
        if kind in TOLD and _is_news(kind, known.get(kind), (status, reason)):
            bad = (status == "True") == (kind == "Stalled")
            message = each["message"] or f"{kind} is {status}"
            yield Transition("Warning" if bad else "Normal", reason if bad else kind, message)


def _is_news(kind: str, old: tuple[str, str] | None, new: tuple[str, str]) -> bool:
    """Return whether people want to read of it: not of a good beginning, nor of another reason to be well."""
    if old is None:
        return (new[0] == "False") if kind == "Accepted" else (new[0] == "True")
    still_well = kind != "Stalled" and old[0] == new[0] == "True"
    return old != new and not still_well


def utc_now() -> datetime:
    return datetime.now(UTC)


def timestamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _condition(
    finding: Finding, known: Mapping[str, Any] | None, generation: int | None, now: datetime
) -> Manifest:
    same = known is not None and known["status"] == finding.status
    since = known["lastTransitionTime"] if known is not None and same else timestamp(now)
    condition: Manifest = {
        "type": finding.type,
        "status": finding.status,
        "reason": finding.reason,
        "message": finding.message[:LONGEST_MESSAGE],
        "lastTransitionTime": since,
    }
    return condition if generation is None else {**condition, "observedGeneration": generation}

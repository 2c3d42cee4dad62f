"""What to make of an API server that says no: what passes by itself is raised, for the queue to try again;
what a person must put right is told.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from folio_operator.apply import NameConflictError
from folio_operator.cluster import ApiError
from folio_operator.gather import Problem
from folio_operator.status import Finding

T = TypeVar("T")


async def unless_refused(work: Awaitable[T]) -> T | Problem:
    """Return what came of it, or why it cannot be done if only a person can help."""
    try:
        return await work
    except NameConflictError as conflict:
        return Problem("NameConflict", str(conflict))
    except ApiError as error:
        if error.passes_by_itself:
            raise
        return Problem(*refusal(error))


async def hindrance(work: Awaitable[object]) -> Finding | None:
    """Do it; return why the portfolio does not run as it was asked to: what the work found, or a refusal."""
    outcome = await unless_refused(work)
    if isinstance(outcome, Problem):
        return Finding("Programmed", "False", outcome.reason, outcome.message)
    return outcome if isinstance(outcome, Finding) else None


def refusal(error: ApiError) -> tuple[str, str]:
    """Return reason and message of a refusal that somebody must put right."""
    if error.status == 404 and "ray.io" in str(error):
        return "KubeRayAbsent", "the API server knows no RayService: install KubeRay 1.6 or newer"
    if error.status == 403:
        return "Forbidden", f"the operator may not: {error}; see the chart's RBAC"
    return "Refused", f"the API server refused it: {error}"

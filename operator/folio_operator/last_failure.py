"""Why a model failed last, told until it answers: Serve forgets it as soon as it is made to try again.

It is read off the status that was written last, so that a restart of the operator forgets nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from folio_api.table import ModelState

BEFORE = "last failure: "
"""What comes before it, at the end of a message."""
TRIED_AGAIN = "Retrying"
ANSWERS = ("Ready", "Idle")
GIVEN_UP = ("DeployFailed", "Unhealthy")


def last_failures(models: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return, from the models of a status, the cause of each one's last failure; of none that recovered."""
    found = ((each["name"], _cause(each)) for each in models)
    return {name: cause for name, cause in found if cause}


def after_failure(state: ModelState, cause: str) -> ModelState:
    """Return the state of a model that is on its way once more, with why it was not there before."""
    said = state.message.rstrip(".")
    is_new = said and said not in cause
    message = f"{said}; tried again; {BEFORE}{cause}" if is_new else f"tried again; {BEFORE}{cause}"
    reason = TRIED_AGAIN if state.reason == "Starting" else state.reason
    return state.model_copy(update={"reason": reason, "message": message})


def _cause(model: Mapping[str, Any]) -> str:
    if model.get("state") in ANSWERS:
        return ""
    message = str(model.get("message") or "")
    if BEFORE in message:
        return message.partition(BEFORE)[2]
    return message if model.get("state") == "Failed" and model.get("reason") in GIVEN_UP else ""

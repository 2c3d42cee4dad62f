"""Which model issued a tool call, carried in the call's id so that its result goes back to that model.

The id that a client sees is `folio.<model>.<the model's own id>`; it is restored before any model sees it
again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_PREFIX = "folio."


def encode_tool_call_id(model: str, call_id: str) -> str:
    """Return the id that the client gets. Names of models hold no dot, so that the parts stay apart."""
    return f"{_PREFIX}{model}.{call_id}"


def decode_tool_call_id(call_id: str) -> tuple[str | None, str]:
    """Return (issuing model, the model's own id); the model is None for an id that is not ours."""
    if not call_id.startswith(_PREFIX):
        return None, call_id
    model, dot, own = call_id[len(_PREFIX) :].partition(".")
    return (model, own) if dot and model else (None, call_id)


def issuer(messages: Sequence[Any]) -> str | None:
    """Return the model that awaits the tool results at the conversation's tail; None when there are none."""
    tail = messages[-1] if messages else None
    if not isinstance(tail, Mapping) or tail.get("role") != "tool":
        return None
    call_id = tail.get("tool_call_id")
    return decode_tool_call_id(call_id)[0] if isinstance(call_id, str) else None


def restored(messages: Sequence[Any]) -> list[Any]:
    """Return the messages with the ids that the models themselves gave. Anything malformed is left to the
    engine.
    """
    return [_restored_message(message) if isinstance(message, Mapping) else message for message in messages]


def marked(message: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return an assistant's message (or a stream's delta) whose tool calls carry their model."""
    return _with_calls(message, lambda call_id: encode_tool_call_id(model, call_id))


def _restored_message(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(message.get("tool_call_id"), str):
        return {**message, "tool_call_id": decode_tool_call_id(message["tool_call_id"])[1]}
    if isinstance(message.get("tool_calls"), list):
        return _with_calls(message, lambda call_id: decode_tool_call_id(call_id)[1])
    return message


def _with_calls(message: Mapping[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return dict(message)
    return {**message, "tool_calls": [_with_id(call, rename) for call in calls]}


def _with_id(call: Any, rename: Callable[[str], str]) -> Any:
    if not isinstance(call, Mapping) or not isinstance(call.get("id"), str):
        return call
    return {**call, "id": rename(call["id"])}

"""What a verdict looks like in OpenAI's words: a refusal, an error, or a whole answer as a stream's events.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from folio_serving.confidence import Signals
from folio_serving.conversation import Failed, Reason, Verdict
from folio_serving.errors import Kind as TroubleKind
from folio_serving.errors import Trouble
from folio_serving.openai import Kind
from folio_serving.route import PORTFOLIO_MODEL, RefusalReason
from folio_serving.sse import comment_of, event_of

_CHUNK = {"chat": "chat.completion.chunk", "completions": "text_completion"}
_TROUBLES: dict[Reason, TroubleKind] = {
    "Waking": "Waking",
    "QueueFull": "QueueFull",
    "TooLong": "TooLong",
    "Timeout": "Timeout",
    "NotCleared": "NotCleared",
    "NotConfident": "Unavailable",
    "OverBudget": "OverBudget",
    "Unavailable": "Unavailable",
    "UpstreamError": "UpstreamError",
    "Deadline": "Deadline",
}
ROUTE_TROUBLES: dict[RefusalReason, TroubleKind] = {
    "NotCleared": "NotCleared",
    "UnknownModel": "UnknownModel",
    "ModelRequired": "ModelRequired",
    "Unsupported": "Unsupported",
    "NotSupported": "NotSupported",
}


def trouble_of(verdict: Verdict) -> Trouble:
    """Return why nobody answered, as the client is told it: with what became of every rung."""
    failure = verdict.failure
    if failure is not None and isinstance(failure.payload, Trouble):
        return failure.payload
    kind = _TROUBLES.get(verdict.reason, "Unavailable")
    became = "; ".join(
        f"{one.model}: {one.reason} ({one.message})"
        for one in verdict.attempts
        if one.reason and one.role != "classifier"
    )
    return Trouble(kind, f"no model of the ladder answered: {became or verdict.reason}")


def refused_in_time(verdict: Verdict) -> bool:
    """Whether quality alone kept the answer back: that is a 200 with a refusal."""
    return verdict.refused and verdict.reason != "Deadline"


def refusal_body(kind: Kind, request_id: str, created: int, verdict: Verdict) -> bytes:
    """Return an answer that says that none was good enough."""
    return orjson.dumps(
        {
            "id": f"folio-{request_id}",
            "object": "chat.completion" if kind == "chat" else "text_completion",
            "created": created,
            "model": PORTFOLIO_MODEL,
            "choices": [_refusal_choice(kind, verdict)],
            "usage": _usage([one.signals for one in verdict.attempts]),
        }
    )


def _refusal_choice(kind: Kind, verdict: Verdict) -> dict[str, Any]:
    refusal = f"No model of this portfolio was sure enough of its answer ({verdict.reason})."
    if kind == "chat":
        message = {"role": "assistant", "content": None, "refusal": refusal}
        return {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {"index": 0, "text": "", "refusal": refusal, "logprobs": None, "finish_reason": "stop"}


def _usage(signals: list[Signals | None]) -> dict[str, int]:
    prompt = sum(one.prompt or 0 for one in signals if one is not None)
    completion = sum(one.completion or 0 for one in signals if one is not None)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def whole_as_events(kind: Kind, body: bytes) -> tuple[bytes, dict[str, Any] | None]:
    """Return a whole answer as a stream's events, and the usage chunk that belongs behind them."""
    answer = orjson.loads(body)
    frame = {name: answer.get(name) for name in ("id", "created", "model")} | {"object": _CHUNK[kind]}
    events = b"".join(
        event_of({**frame, "choices": [_delta_choice(kind, choice)]})
        for choice in answer.get("choices") or ()
    )
    usage = answer.get("usage")
    return events, {**frame, "choices": [], "usage": usage} if usage else None


def _delta_choice(kind: Kind, choice: Mapping[str, Any]) -> dict[str, Any]:
    if kind != "chat":
        return dict(choice)
    delta = {name: value for name, value in (choice.get("message") or {}).items() if value is not None}
    if "tool_calls" in delta:
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(delta["tool_calls"])]
    rest = {name: value for name, value in choice.items() if name != "message"}
    return {**rest, "delta": delta}


def last_events(
    kind: Kind, usage: dict[str, Any] | None, *, wants_usage: bool, account: dict[str, Any]
) -> bytes:
    """Return what stands before `[DONE]`: the account, in the usage chunk where one was asked for."""
    if not wants_usage:
        return comment_of(account)
    chunk = usage or {"object": _CHUNK.get(kind, ""), "choices": [], "usage": None}
    return event_of({**chunk, "folio": account})


def error_of(failure: Failed | None, verdict: Verdict) -> bytes:
    """Return the error object that ends a stream whose status is already 200."""
    if failure is not None and failure.committed:
        return Trouble("UpstreamError", f"the stream broke off: {failure.message}").body()
    return trouble_of(verdict).body()

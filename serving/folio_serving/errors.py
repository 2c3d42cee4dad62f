"""Trouble as a client sees it: OpenAI's error body, and the one table that knows HTTP's status codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import orjson

Kind = Literal[
    "Malformed",
    "Unauthorized",
    "TooLarge",
    "MediaType",
    "UnknownPath",
    "Method",
    "UnknownModel",
    "ModelRequired",
    "Unsupported",
    "NotSupported",
    "TooLong",
    "NotCleared",
    "OverBudget",
    "Deadline",
    "Timeout",
    "Waking",
    "QueueFull",
    "Unavailable",
    "UpstreamError",
    "NotReady",
]


@dataclass(frozen=True, slots=True)
class Shape:
    """How one kind of trouble is said in HTTP and in OpenAI's words."""

    status: int
    type: str
    code: str
    retry_after_seconds: int | None = None


_INVALID = "invalid_request_error"
_UNAVAILABLE = "service_unavailable"

SHAPES: dict[Kind, Shape] = {
    "Malformed": Shape(400, _INVALID, "invalid_request"),
    "Unauthorized": Shape(401, _INVALID, "invalid_api_key"),
    "TooLarge": Shape(413, _INVALID, "request_too_large"),
    "MediaType": Shape(415, _INVALID, "unsupported_media_type"),
    "UnknownPath": Shape(404, _INVALID, "unknown_url"),
    "Method": Shape(405, _INVALID, "method_not_allowed"),
    "UnknownModel": Shape(404, _INVALID, "model_not_found"),
    "ModelRequired": Shape(400, _INVALID, "model_required"),
    "Unsupported": Shape(400, _INVALID, "unsupported"),
    "NotSupported": Shape(400, _INVALID, "not_supported"),
    "TooLong": Shape(400, _INVALID, "context_length_exceeded"),
    "NotCleared": Shape(403, "permission_error", "NotCleared"),
    "OverBudget": Shape(402, "insufficient_quota", "OverBudget"),
    "Deadline": Shape(504, "timeout_error", "Deadline"),
    "Timeout": Shape(504, "timeout_error", "Timeout"),
    "Waking": Shape(503, _UNAVAILABLE, "Waking", 5),
    "QueueFull": Shape(503, _UNAVAILABLE, "QueueFull", 1),
    "Unavailable": Shape(503, _UNAVAILABLE, "Unavailable", 2),
    "UpstreamError": Shape(503, _UNAVAILABLE, "UpstreamError", 2),
    "NotReady": Shape(503, _UNAVAILABLE, "NotReady", 2),
}

_TO_COME_AGAIN = Shape(429, "rate_limit_error", "OverBudget")
"""A budget that is whole again at a known time: to clients a rate, and no lack of money."""


class Trouble(Exception):  # noqa: N818 - the client's trouble, not ours
    """One request cannot be answered; raised where that is found, written by the gateway."""

    def __init__(
        self, kind: Kind, message: str, param: str | None = None, *, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.param = param
        self.retry_after_seconds = retry_after_seconds or SHAPES[kind].retry_after_seconds
        self.revision: bytes | None = None
        """Whose refusal it is, where a table was asked."""

    @property
    def shape(self) -> Shape:
        comes_again = self.kind == "OverBudget" and self.retry_after_seconds is not None
        return _TO_COME_AGAIN if comes_again else SHAPES[self.kind]

    def body(self) -> bytes:
        return error_body(self.message, self.shape.type, self.shape.code, self.param)


def error_body(message: str, type_: str, code: str, param: str | None = None) -> bytes:
    """Return OpenAI's error object."""
    return orjson.dumps({"error": {"message": message, "type": type_, "param": param, "code": code}})

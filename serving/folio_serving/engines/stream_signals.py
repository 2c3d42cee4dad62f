"""Signals of an answer while it streams: what the client asked for is passed on, our comments are added.

Pure: bytes in, bytes out, however the network cut them. An event that needs no change passes as it came.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from folio_serving.confidence import Signals, Sureness, format_comment, least_sure, token_logprobs
from folio_serving.engines.signals import Asked, finish_of, own_limit, said_bytes, with_estimates, with_usage

_FIELD, _DATA, _DONE, _END = b"data:", b"data: ", b"data: [DONE]", b"\n\n"


@dataclass(slots=True)
class _Choice:
    """One choice's tokens so far, as running sums: a stream may be long."""

    total: float = 0.0
    least: float = 0.0
    tokens: int = 0
    finish: str | None = None
    said: int = 0
    """Bytes, counted where usage may have to be guessed."""

    def add(self, logprob: float) -> None:
        self.total += logprob
        self.least = min(self.least, logprob)
        self.tokens += 1

    def sureness(self) -> Sureness:
        if not self.tokens:
            return Sureness(None, None, 0)
        return Sureness(math.exp(self.total / self.tokens), math.exp(self.least), self.tokens)


@dataclass(slots=True)
class StreamSignals:
    """One stream: `feed` takes what the engine sent and returns what the gateway gets; `flush` ends it."""

    asked: Asked
    seconds: Callable[[], float]
    """The replica's busy seconds for this request so far."""
    _rest: bytes = b""
    _choices: dict[int, _Choice] = field(default_factory=dict)
    _usage: object = None
    _failed: bool = False
    _told_early: bool = False
    _told_end: bool = False

    def feed(self, chunk: bytes) -> bytes:
        """Return the events that the chunk completes, as the client shall see them, with our comments."""
        *events, self._rest = (self._rest + chunk).split(_END)
        return b"".join([self._event(event) for event in events])

    def flush(self) -> bytes:
        """Return what is left of a stream that ended, with the closing comment if there was no `[DONE]`."""
        rest, self._rest = self._rest, b""
        return rest + self._closing()

    def completion(self) -> int:
        """Return the tokens of all that was said, as far as they are known or guessed."""
        return self._whole().completion or 0

    def _event(self, event: bytes) -> bytes:
        if event == _DONE:
            return self._closing() + event + _END
        message = _message(event)
        if message is None:
            return event + _END
        self._read(message)
        return self._kept(event, message) + self._early()

    def _read(self, message: Mapping[str, Any]) -> None:
        self._usage = message.get("usage") or self._usage
        self._failed = self._failed or "error" in message
        for choice in message.get("choices") or ():
            self._read_choice(choice)

    def _read_choice(self, choice: Mapping[str, Any]) -> None:
        seen = self._choices.setdefault(choice.get("index", 0), _Choice())
        seen.finish = choice.get("finish_reason") or seen.finish
        if self.asked.prompt_tokens is not None:
            seen.said += said_bytes(choice)
        if not self.asked.echo and not (self.asked.decoding == "reasoning" and _is_reasoning(choice)):
            for _, logprob in token_logprobs(choice.get("logprobs")):
                seen.add(logprob)

    def _kept(self, event: bytes, message: dict[str, Any]) -> bytes:
        """Return the event without what the client did not ask for; nothing of one that carried only that."""
        choices = message.get("choices") or []
        changed = False
        if self.asked.strip_usage and "usage" in message:
            if not choices:
                return b""
            del message["usage"]
            changed = True
        if self.asked.strip_logprobs and any(choice.get("logprobs") for choice in choices):
            if all(_says_nothing(choice) for choice in choices):
                return b""
            for choice in choices:
                choice["logprobs"] = None
            changed = True
        return (_DATA + orjson.dumps(message) if changed else event) + _END

    def _early(self) -> bytes:
        """Return the comment at N tokens, once: when each choice has that many, or has ended with fewer."""
        at = self.asked.wanted.at
        if at is None or self._told_early or len(self._choices) < self.asked.choices:
            return b""
        if any(choice.tokens < at and choice.finish is None for choice in self._choices.values()):
            return b""
        self._told_early = True
        return _comment(self._sure(), end=False)

    def _closing(self) -> bytes:
        if self._told_end:
            return b""
        self._told_end = True
        return _comment(replace(self._whole(), seconds=self.seconds()), end=True)

    def _whole(self) -> Signals:
        finish = finish_of([choice.finish for choice in self._choices.values() if choice.finish])
        signals = with_usage(self._sure(), self._usage)
        if self.asked.prompt_tokens is not None:
            said = [choice.said for choice in self._choices.values()]
            signals = with_estimates(signals, self.asked.prompt_tokens, said)
        finish = "error" if self._failed else finish
        limit = own_limit(finish, signals.completion, self.asked)
        return replace(signals, finish=finish, limit=limit, decoding=self.asked.decoding)

    def _sure(self) -> Signals:
        if not self.asked.wanted.logprobs:
            return Signals()
        sure = least_sure([choice.sureness() for choice in self._choices.values()])
        return Signals(mean=sure.mean, min=sure.min, n=sure.n)


def _message(event: bytes) -> dict[str, Any] | None:
    """Return a data event's JSON object; None for comments and whatever else is not ours to read."""
    if not event.startswith(_FIELD):
        return None
    try:
        message = orjson.loads(event[len(_FIELD) :])
    except orjson.JSONDecodeError:
        return None
    return message if isinstance(message, dict) else None


def _says_nothing(choice: Mapping[str, Any]) -> bool:
    """Tell whether a chunk was sent only for its logprobs: a token that is no text, say half a character."""
    said = any((choice.get("delta") or {}).values()) or choice.get("text")
    return not said and not choice.get("finish_reason")


def _is_reasoning(choice: Mapping[str, Any]) -> bool:
    delta = choice.get("delta") or {}
    return bool(delta.get("reasoning") or delta.get("reasoning_content")) and not delta.get("content")


def _comment(signals: Signals, *, end: bool) -> bytes:
    return format_comment(signals, end=end).encode() + _END

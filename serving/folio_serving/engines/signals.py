"""What the gateway asks of a replica beside the answer, and how it is read from a request and its answer.

Pure. Asked for logprobs, it turns them on in the request and takes out of the answer what the client did not
ask for: the gateway never parses logprobs, and the client sees exactly what it asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from folio_serving.confidence import Decoding, Signals, decoding_class, sureness_of_body
from folio_serving.cost import tokens_of_bytes

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
GENERATING = frozenset({CHAT, COMPLETION})


@dataclass(frozen=True, slots=True)
class Wanted:
    """The request header `x-folio-signals`: `logprobs`, `logprobs;at=32` or `usage`."""

    logprobs: bool = False
    at: int | None = None
    """Report a stream's signals once after so many tokens."""


def parse_wanted(header: str) -> Wanted:
    """Return what the header asks for; a part that says nothing known is ignored."""
    parts = [part.strip() for part in header.split(";")]
    at = next((part[3:] for part in parts if part.startswith("at=")), "")
    return Wanted(logprobs="logprobs" in parts, at=int(at) if at.isascii() and at.isdigit() else None)


@dataclass(frozen=True, slots=True)
class Asked:
    """What matters of a request for reading its answer."""

    wanted: Wanted
    decoding: Decoding | None = None
    strip_logprobs: bool = False
    """The client did not ask for them."""
    strip_usage: bool = False
    """The client did not ask for a stream's usage."""
    max_tokens: int | None = None
    """The client's own limit."""
    choices: int = 1
    prompt_tokens: int | None = None
    """Of the prompt by estimate, where whoever answers may not say what it counted."""
    echo: bool = False
    """A completion that repeats its prompt: the prompt's logprobs would count as the answer's."""


def rewrite(path: str, body: bytes, wanted: Wanted, *, reasoning: bool) -> tuple[bytes, Asked]:
    """Return the request that the engine gets, and what to make of its answer.

    A body that is no JSON object goes on as it is: the engine's own refusal is the right answer to it.
    """
    request = _json_object(body) if path in GENERATING else None
    if request is None:
        return body, Asked(wanted)
    asked = _asked(request, wanted, reasoning=reasoning)
    changes: dict[str, Any] = {}
    if asked.strip_logprobs:
        changes["logprobs"] = True if path == CHAT else 0
    if asked.strip_usage:
        changes["stream_options"] = {**(request.get("stream_options") or {}), "include_usage": True}
    return (orjson.dumps({**request, **changes}) if changes else body), asked


def read_answer(body: bytes, asked: Asked) -> tuple[bytes, Signals]:
    """Return a whole answer without what the client did not ask for, and its signals."""
    answer = _json_object(body)
    if answer is None:
        return body, Signals(decoding=asked.decoding)
    signals = _signals(answer, asked)
    if not asked.strip_logprobs:
        return body, signals
    for choice in answer.get("choices") or []:
        choice["logprobs"] = None
    return orjson.dumps(answer), signals


def finish_of(reasons: list[str]) -> str | None:
    """Return the reason that matters most when several choices ended for different ones."""
    return next(
        (reason for reason in reasons if reason not in ("stop", "tool_calls")), next(iter(reasons), None)
    )


def own_limit(finish: str | None, tokens: int | None, asked: Asked) -> bool:
    """Tell whether the client's own max_tokens cut the answer (and not the model's context)."""
    cut = finish == "length" and tokens is not None and asked.max_tokens is not None
    return cut and (tokens or 0) >= (asked.max_tokens or 0) * asked.choices


def with_usage(signals: Signals, usage: object) -> Signals:
    """Return the signals with OpenAI's token counts."""
    if not isinstance(usage, Mapping):
        return signals
    return replace(
        signals, prompt=_count(usage.get("prompt_tokens")), completion=_count(usage.get("completion_tokens"))
    )


def with_estimates(signals: Signals, prompt_tokens: int, said: list[int]) -> Signals:
    """Return the signals with a guess for each number of tokens that was not told; `said` has the bytes of
    every choice.
    """
    silent = signals.completion is None and bool(said)
    if signals.prompt is not None and not silent:
        return signals
    return replace(
        signals,
        prompt=prompt_tokens if signals.prompt is None else signals.prompt,
        completion=tokens_of_bytes(sum(said)) if silent else signals.completion,
        estimated=True,
    )


def said_bytes(choice: Mapping[str, Any]) -> int:
    """Return how many bytes a choice, or a piece of one in a stream, says: text, reasoning, tool calls."""
    holder = choice.get("message") or choice.get("delta") or {"content": choice.get("text")}
    text = holder.get("content")
    if len(holder) == 1 and type(text) is str:  # as nearly every piece of a stream
        return len(text) if text.isascii() else _bytes(text)
    return sum(_bytes(value) for name, value in holder.items() if name != "role" and value)


def _bytes(value: Any) -> int:
    return len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else len(orjson.dumps(value))


def _count(value: object) -> int | None:
    """Return a number of tokens; what a provider says instead is as good as silence."""
    return value if type(value) is int and value >= 0 else None


def _asked(request: Mapping[str, Any], wanted: Wanted, *, reasoning: bool) -> Asked:
    client_logprobs = request.get("logprobs") not in (None, False)
    echo = bool(request.get("echo"))
    options = request.get("stream_options")
    client_usage = isinstance(options, Mapping) and bool(options.get("include_usage"))
    limit = request.get("max_completion_tokens", request.get("max_tokens"))
    choices = request.get("n")
    return Asked(
        wanted=wanted,
        decoding=decoding_class(request, reasoning=reasoning),
        strip_logprobs=wanted.logprobs and not client_logprobs and not echo,
        strip_usage=bool(request.get("stream")) and not client_usage,
        max_tokens=limit if isinstance(limit, int) else None,
        choices=choices if isinstance(choices, int) else 1,
        echo=echo,
    )


def _signals(answer: Mapping[str, Any], asked: Asked) -> Signals:
    choices = [choice for choice in answer.get("choices") or [] if isinstance(choice, Mapping)]
    finish = finish_of([str(choice["finish_reason"]) for choice in choices if choice.get("finish_reason")])
    signals = with_usage(Signals(finish=finish, decoding=asked.decoding), answer.get("usage"))
    if asked.prompt_tokens is not None:
        signals = with_estimates(signals, asked.prompt_tokens, [said_bytes(choice) for choice in choices])
    signals = replace(signals, limit=own_limit(finish, signals.completion, asked))
    if not asked.wanted.logprobs or asked.echo:
        return signals
    sure = sureness_of_body(answer)
    return replace(signals, mean=sure.mean, min=sure.min)


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None

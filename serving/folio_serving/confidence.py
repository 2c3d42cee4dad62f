"""How sure an answer was: signals in 0..1, and the header and stream comments that carry them from replica
to gateway.

Shared by the gateway and the wrapper around every engine, so it imports next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Decoding = Literal["greedy", "sampled", "structured", "tools", "reasoning"]
"""How the tokens were chosen. A calibration holds for one class only: logprobs are taken before temperature
and masks."""

SIGNALS_HEADER = "x-folio-signals"
MODEL_HEADER = "x-folio-model"
"""Of a request to a replica: whom it asks, the base or one of its adapters."""
IDENTITY_HEADER = "x-folio-identity"
"""Of its answer: the digest of what answered under that name."""
COMMENT_PREFIX = ": folio "
_REASONING_ENDS = ("</think>", "<|channel|>final<|message|>", "[/THINK]")
_DECODINGS = frozenset(get_args(Decoding))


@dataclass(frozen=True, slots=True)
class Signals:
    """What a replica reports of one request. Unknown is None, never a guess that does not say so."""

    mean: float | None = None
    """exp of the mean token logprob; of several choices the least sure."""
    min: float | None = None
    """exp of the least token logprob over all choices."""
    score: float | None = None
    """An encoder's or a retriever's own score."""
    prompt: int | None = None
    completion: int | None = None
    finish: str | None = None
    limit: bool = False
    """`finish` is `length`, and it was the client's own max_tokens."""
    seconds: float | None = None
    """Busy seconds of the replica."""
    decoding: Decoding | None = None
    """`class` on the wire."""
    n: int | None = None
    """Tokens that `mean` and `min` are over, in a stream's comment."""
    identity: str | None = None
    """Of what answered, where that is not the table's: a replica that an update has yet to replace."""
    estimated: bool = False
    """`prompt` or `completion` is our guess: whoever answered did not say, or was left before it could."""

    @property
    def cut_short(self) -> bool:
        """The answer ended for want of room that the client did not ask for: never good enough."""
        return self.finish == "length" and not self.limit


@dataclass(frozen=True, slots=True)
class StreamReport:
    """A stream's comment: signals so far, or those of the whole."""

    signals: Signals
    end: bool


def format_signals(signals: Signals) -> str:
    """Return the header's value: `k=v` joined by `;`, plain decimals, nothing for what is unknown."""
    pairs = [(name, _decimal(value)) for name in _NUMBERS if (value := getattr(signals, name)) is not None]
    if signals.finish:
        pairs.append(("finish", signals.finish))
    if signals.limit:
        pairs.append(("limit", "1"))
    if signals.decoding:
        pairs.append(("class", signals.decoding))
    if signals.estimated:
        pairs.append(("estimated", "1"))
    return ";".join(f"{name}={value}" for name, value in pairs)


def parse_signals(header: str) -> Signals:
    """Return what a header says. A field that cannot be read counts as unknown: the answer is then not
    sure, not lost.
    """
    pairs = {}
    for part in header.split(";"):
        name, _, said = part.partition("=")
        pairs[name.strip()] = said.strip()
    decoding = pairs.get("class")
    return Signals(
        mean=_share(pairs.get("mean")),
        min=_share(pairs.get("min")),
        score=_share(pairs.get("score")),
        prompt=_count(pairs.get("prompt")),
        completion=_count(pairs.get("completion")),
        finish=pairs.get("finish") or None,
        limit=pairs.get("limit") == "1",
        seconds=_number(pairs.get("seconds")),
        decoding=decoding if decoding in _DECODINGS else None,  # type: ignore[arg-type]
        n=_count(pairs.get("n")),
        estimated=pairs.get("estimated") == "1",
    )


def format_comment(signals: Signals, *, end: bool) -> str:
    """Return the SSE comment line (without its line end) for a stream's first tokens or its end."""
    return f"{COMMENT_PREFIX}{'end;' if end else ''}{format_signals(signals)}"


def parse_comment(line: str) -> StreamReport | None:
    """Return what a stream's line reports; None for a line that is not our comment."""
    if not line.startswith(COMMENT_PREFIX):
        return None
    said = line[len(COMMENT_PREFIX) :].strip()
    end = said == "end" or said.startswith("end;")
    return StreamReport(parse_signals(said), end)


@dataclass(frozen=True, slots=True)
class Sureness:
    """Mean and least token probability over `n` tokens; both None over none."""

    mean: float | None
    min: float | None
    n: int


def sureness(logprobs: Iterable[float]) -> Sureness:
    """Return exp(mean) and exp(min) of token logprobs."""
    values = [value for value in logprobs if not math.isnan(value)]
    if not values:
        return Sureness(None, None, 0)
    return Sureness(_exp(math.fsum(values) / len(values)), _exp(min(values)), len(values))


def least_sure(choices: Sequence[Sureness]) -> Sureness:
    """Return the minimum over choices; unknown as soon as one choice is."""
    if not choices or any(choice.mean is None for choice in choices):
        return Sureness(None, None, 0)
    return Sureness(
        min(choice.mean for choice in choices if choice.mean is not None),
        min(choice.min for choice in choices if choice.min is not None),
        sum(choice.n for choice in choices),
    )


def after_reasoning(tokens: Sequence[tuple[str, float]]) -> Sequence[tuple[str, float]]:
    """Return the (text, logprob) pairs behind the last end-of-reasoning mark; all of them when there is no
    mark.
    """
    whole = "".join(text for text, _ in tokens)
    end = max((whole.rfind(mark) + len(mark) for mark in _REASONING_ENDS if mark in whole), default=0)
    position = 0
    for index, (text, _) in enumerate(tokens):
        if position >= end:
            return tokens[index:]
        position += len(text)
    return () if end else tokens


def sureness_of_body(body: Mapping[str, Any]) -> Sureness:
    """Return how sure a whole OpenAI answer (chat or completion) was, from the logprobs in its body."""
    choices = [choice for choice in body.get("choices") or [] if isinstance(choice, Mapping)]
    return least_sure([choice_sureness(choice.get("logprobs")) for choice in choices])


def choice_sureness(logprobs: object) -> Sureness:
    """Return how sure one choice was, from its `logprobs` member."""
    return sureness(logprob for _, logprob in after_reasoning(token_logprobs(logprobs)))


def token_logprobs(logprobs: object) -> list[tuple[str, float]]:
    """Return a choice's (token text, logprob) pairs, of either API's shape; empty when it has none."""
    if not isinstance(logprobs, Mapping):
        return []
    if isinstance(content := logprobs.get("content"), list):
        return [
            (str(token.get("token", "")), float(token["logprob"])) for token in content if _is_token(token)
        ]
    texts, values = logprobs.get("tokens") or [], logprobs.get("token_logprobs") or []
    return [
        (str(text), float(value)) for text, value in zip(texts, values, strict=False) if _is_number(value)
    ]


def decoding_class(body: Mapping[str, Any], *, reasoning: bool = False) -> Decoding:
    """Return how a request's tokens will be chosen; the most constraining class wins.

    `reasoning` says that the model thinks by itself, whatever the request.
    """
    if reasoning or body.get("reasoning_effort") not in (None, "none"):
        return "reasoning"
    if body.get("tools") and body.get("tool_choice") != "none":
        return "tools"
    if _is_structured(body):
        return "structured"
    # OpenAI's default temperature is 1: only an explicit 0 is greedy.
    return "greedy" if _is_number(body.get("temperature")) and body["temperature"] == 0 else "sampled"


def _is_structured(body: Mapping[str, Any]) -> bool:
    wanted = body.get("response_format")
    free = not isinstance(wanted, Mapping) or wanted.get("type") in (None, "text")
    return not free or any(body.get(name) for name in ("structured_outputs", "guided_json", "guided_regex"))


_NUMBERS = ("mean", "min", "score", "n", "prompt", "completion", "seconds")


def _exp(logprob: float) -> float:
    return min(1.0, math.exp(min(0.0, logprob)))


def _decimal(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.6f}".rstrip("0").rstrip(".") or "0"


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _share(text: str | None) -> float | None:
    value = _number(text)
    return value if value is not None and 0.0 <= value <= 1.0 else None


def _count(text: str | None) -> int | None:
    value = _number(text)
    return int(value) if value is not None and value >= 0 else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_token(token: object) -> bool:
    return isinstance(token, Mapping) and _is_number(token.get("logprob"))

"""What a request costs: guessed before it is asked, computed after it was answered. Tokens, USD, device
time, energy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from folio_api.table import Price
from folio_serving.confidence import Signals

BYTES_PER_TOKEN = 3.5
"""English prose has 4 to 4.5 bytes a token, code and most other scripts 2.5 to 4: on prose this guesses
high."""
TOKENS_PER_MESSAGE = 4
"""A chat template's marks around one message."""
ASSUMED_OUTPUT_TOKENS = 512
"""What an answer may take when the client set no max_tokens; the cost limit is soft by what exceeds it."""
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Spent:
    """What one request used up."""

    usd: float = 0.0
    device_seconds: float = 0.0
    watt_hours: float = 0.0


def estimate_tokens(*texts: str) -> int:
    """Guess a prompt's tokens from its bytes, one text a message. No tokenizer: models of one ladder differ
    in theirs.

    A rung that is asked in vain says so itself (TooLong); a guess too high only skips a rung near its
    limit.
    """
    return sum(_estimate(text) for text in texts)


def expected_usd(price: Price, prompt_tokens: int, max_tokens: int | None, busy_seconds: float) -> float:
    """Return the price of an answer of full length."""
    output = max_tokens if max_tokens is not None else ASSUMED_OUTPUT_TOKENS
    return _usd(price, prompt_tokens, output, busy_seconds)


def spent(price: Price, signals: Signals | None) -> Spent:
    """Return what a request used up, by what its replica reported."""
    if signals is None:
        return Spent()
    seconds = signals.seconds or 0.0
    return Spent(
        usd=_usd(price, signals.prompt or 0, signals.completion or 0, seconds),
        device_seconds=seconds * price.devices_per_replica,
        watt_hours=seconds * price.watts_per_replica / 3600,
    )


def cut_off(said: Signals | None, prompt_tokens: int, seconds: float) -> Signals:
    """Return the most that work can have used up which was ended before it told all of it."""
    known = said or Signals()
    return replace(
        known,
        prompt=prompt_tokens if known.prompt is None else known.prompt,
        completion=known.n if known.completion is None else known.completion,
        seconds=seconds if known.seconds is None else known.seconds,
        estimated=known.estimated or known.prompt is None or known.completion is None,
    )


def total(parts: Iterable[Spent]) -> Spent:
    everything = tuple(parts)
    return Spent(
        usd=math.fsum(part.usd for part in everything),
        device_seconds=math.fsum(part.device_seconds for part in everything),
        watt_hours=math.fsum(part.watt_hours for part in everything),
    )


def tokens_of_bytes(count: int) -> int:
    """Guess the tokens of so many bytes of text."""
    return math.ceil(count / BYTES_PER_TOKEN)


def _estimate(text: str) -> int:
    return TOKENS_PER_MESSAGE + tokens_of_bytes(len(text.encode("utf-8", "surrogatepass")))


def _usd(price: Price, prompt: int, completion: int, seconds: float) -> float:
    return (
        prompt * price.usd_per_million_input_tokens / _MILLION
        + completion * price.usd_per_million_output_tokens / _MILLION
        + seconds * price.usd_per_replica_second
    )

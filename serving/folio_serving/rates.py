"""A provider's own limits, kept on our side: past them the ladder goes on instead of collecting 429s.

Counted per gateway replica over a sliding minute of one-second slots.
"""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 60


class Rates:
    """Requests and tokens of the last minute. `now` is a monotonic clock."""

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self._requests_limit = requests_per_minute
        self._tokens_limit = tokens_per_minute
        self._slots: deque[list[int]] = deque()
        """[second, requests, tokens], oldest first."""
        self._requests = self._tokens = 0

    def refusal(self, prompt_tokens: int, now: float) -> str | None:
        """Return which limit one more request would break; None where it may go, and then it counts."""
        if self._requests_limit is None and self._tokens_limit is None:
            return None
        self._forget(now)
        if self._requests_limit is not None and self._requests >= self._requests_limit:
            return f"its limit of {self._requests_limit} requests per minute is reached"
        if self._tokens_limit is not None and self._tokens + prompt_tokens > self._tokens_limit:
            return f"its limit of {self._tokens_limit} tokens per minute is reached"
        self._add(1, prompt_tokens, now)
        return None

    def spent(self, tokens: int, now: float) -> None:
        """Count an answer's tokens."""
        if self._tokens_limit is not None and tokens:
            self._forget(now)
            self._add(0, tokens, now)

    def _add(self, requests: int, tokens: int, now: float) -> None:
        second = int(now)
        if not self._slots or self._slots[-1][0] != second:
            self._slots.append([second, 0, 0])
        self._slots[-1][1] += requests
        self._slots[-1][2] += tokens
        self._requests += requests
        self._tokens += tokens

    def _forget(self, now: float) -> None:
        while self._slots and self._slots[0][0] <= int(now) - WINDOW_SECONDS:
            _, requests, tokens = self._slots.popleft()
            self._requests -= requests
            self._tokens -= tokens

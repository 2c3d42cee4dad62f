"""Asks a running portfolio one item, and reads from the headers who answered, how sure, at what cost."""

import time
from dataclasses import dataclass
from typing import Any

import httpx

from tasks.items import Item, Task

LONGEST_ANSWER = {Task.BANK: 32, Task.PAYMENT: 80, Task.DATE: 20, Task.FACTS: 64, Task.GENERAL: 16}
"""Tokens; an answer of the right form is shorter."""
TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class Heard:
    """One answer as the client got it."""

    text: str
    refused: bool
    intent: str
    model: str
    rung: int
    attempts: tuple[str, ...]
    reason: str
    confidence: float | None
    """None where the answer was not judged: the last rung's, or one without `accept`."""
    usd: float
    seconds: float
    prompt_tokens: int
    completion_tokens: int
    error: str = ""


class Portfolio:
    """A running portfolio, by its base URL (which ends in /v1)."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=TIMEOUT_SECONDS)

    def ask(self, item: Item, model: str = "folio") -> Heard:
        body = {
            "model": model,
            "messages": item.messages,
            "max_tokens": LONGEST_ANSWER[item.task],
            "temperature": 0,
        }
        started = time.perf_counter()
        response = self._http.post("chat/completions", json=body)
        return _heard(response, time.perf_counter() - started)

    def intent(self, item: Item) -> str | None:
        """Return where the router sends the item, without any model being asked."""
        body = {"model": "folio", "messages": item.messages}
        response = self._http.post("folio/route", json=body)
        response.raise_for_status()
        intent: str | None = response.json()["intent"]
        return intent

    @property
    def revision(self) -> str:
        return str(self._http.get("models").headers.get("x-folio-revision", ""))


def _heard(response: httpx.Response, seconds: float) -> Heard:
    headers, body = response.headers, response.json()
    message: dict[str, Any] = body["choices"][0]["message"] if response.status_code == 200 else {}
    usage: dict[str, int] = body.get("usage") or {}
    return Heard(
        text=message.get("content") or "",
        refused=bool(message.get("refusal")),
        intent=headers.get("x-folio-intent", ""),
        model=headers.get("x-folio-model", ""),
        rung=int(headers.get("x-folio-rung", -1)),
        attempts=tuple(part for part in headers.get("x-folio-attempts", "").split(",") if part),
        reason=headers.get("x-folio-reason", ""),
        confidence=float(sure) if (sure := headers.get("x-folio-confidence")) is not None else None,
        usd=float(headers.get("x-folio-cost", 0)),
        seconds=seconds,
        prompt_tokens=usage.get("prompt_tokens", 0),
        completion_tokens=usage.get("completion_tokens", 0),
        error="" if response.status_code == 200 else f"{response.status_code}: {_message(body)}",
    )


def _message(body: dict[str, Any]) -> str:
    error = body.get("error")
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)

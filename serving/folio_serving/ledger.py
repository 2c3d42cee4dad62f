"""What every query cost: each rung that was asked counts, the refused drafts too. In headers, metrics and one
log line.

No text of a request or an answer is in any of them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import orjson

from folio_api.table import Model
from folio_serving.canary import Trials
from folio_serving.conversation import Attempt, Verdict
from folio_serving.cost import Spent, spent, total
from folio_serving.metrics import Metrics

FLUSH_LINES = 64
FLUSH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """One attempt with what it took."""

    attempt: Attempt
    spent: Spent


@dataclass(frozen=True, slots=True)
class Account:
    """One query's account."""

    verdict: Verdict
    lines: tuple[Line, ...]
    spent: Spent

    @classmethod
    def of(cls, verdict: Verdict, models: Mapping[str, Model]) -> Account:
        lines = _lines(verdict.attempts, models)
        whole = lines[0].spent if len(lines) == 1 else total(line.spent for line in lines)
        return cls(verdict, lines, whole)

    @property
    def reason(self) -> str:
        return self.verdict.reason or "Accepted"

    def summary(self) -> dict[str, Any]:
        """Return the account as the last thing that a stream says, and as part of the log line."""
        verdict = self.verdict
        return {
            "rung": verdict.rung,
            "model": verdict.model,
            "reason": self.reason,
            "confidence": _rounded(verdict.confidence),
            "cost_usd": _rounded(self.spent.usd, 9),
            "device_seconds": _rounded(self.spent.device_seconds),
            "watt_hours": _rounded(self.spent.watt_hours, 9),
            "attempts": [_attempt(line) for line in self.lines],
        }

    def headers(self) -> list[tuple[bytes, bytes]]:
        verdict = self.verdict
        headers = [
            (b"x-folio-reason", self.reason.encode()),
            (b"x-folio-cost", f"{self.spent.usd:.9f}".encode()),
            (b"x-folio-attempts", ",".join(map(_short, verdict.attempts)).encode()),
        ]
        if verdict.model is not None:
            headers.append((b"x-folio-rung", str(verdict.rung).encode()))
            headers.append((b"x-folio-model", verdict.model.encode()))
        if verdict.confidence is not None:
            headers.append((b"x-folio-confidence", f"{verdict.confidence:.4f}".encode()))
        return headers


def _lines(attempts: tuple[Attempt, ...], models: Mapping[str, Model]) -> tuple[Line, ...]:
    return tuple(Line(one, spent(models[one.model].price, one.signals)) for one in attempts)


def _short(attempt: Attempt) -> str:
    return f"{attempt.model}:{attempt.reason}" if attempt.reason else attempt.model


def _attempt(line: Line) -> dict[str, Any]:
    attempt, signals = line.attempt, line.attempt.signals
    said: dict[str, Any] = {"model": attempt.model, "reason": attempt.reason or "Accepted"}
    if attempt.role != "rung":
        said["role"] = attempt.role
    if attempt.confidence is not None:
        said["confidence"] = _rounded(attempt.confidence)
    if signals is not None:
        said["prompt_tokens"], said["completion_tokens"] = signals.prompt, signals.completion
        said["cost_usd"] = _rounded(line.spent.usd, 9)
        said["device_seconds"] = _rounded(line.spent.device_seconds)
        if signals.estimated:
            said["estimated"] = True
        if signals.identity is not None:
            said["identity"] = signals.identity
    return said


def _rounded(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else round(value, digits)


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a log line says beside the account."""

    request_id: str
    revision: str
    path: str
    operation: str
    intent: str
    source: str
    data_classes: tuple[str, ...]
    started: float
    tenant: str
    """Empty where nobody is asked for a key."""
    by_name: bool = False
    """Whether the client chose the revision: then it is no sample of the traffic."""


class Ledger:
    """Books every query in the metrics and in the log."""

    def __init__(self, metrics: Metrics, log: RequestLog) -> None:
        self._metrics = metrics
        self._log = log
        self.trials = Trials()

    def book(self, account: Account, occasion: Occasion, models: Mapping[str, Model], status: int) -> None:
        now = time.monotonic()
        metrics, verdict = self._metrics, account.verdict
        model = verdict.model or "none"
        metrics.requests[occasion.path, str(status)].inc()
        if not occasion.by_name:
            self.trials.note(occasion.revision, verdict, status)
        metrics.routes[model, account.reason].inc()
        metrics.intents[occasion.intent, occasion.source].inc()
        metrics.duration[occasion.operation, model].observe(now - occasion.started)
        if verdict.failure is not None and verdict.failure.committed:
            metrics.broken[(model,)].inc()
        for line in account.lines:
            self._book_line(line, models[line.attempt.model])
        if occasion.tenant:
            self._book_tenant(account, metrics.tenant(occasion.tenant), status)
        self._log.write(_record(account, occasion, status, now))

    def book_attempts(self, attempts: tuple[Attempt, ...], models: Mapping[str, Model]) -> None:
        """Book what was asked for a request that ends without an account: in the metrics alone."""
        for line in _lines(attempts, models):
            self._book_line(line, models[line.attempt.model])

    def close(self) -> None:
        self._log.flush()

    def _book_tenant(self, account: Account, tenant: str, status: int) -> None:
        metrics = self._metrics
        metrics.tenant_requests[tenant, str(status)].inc()
        metrics.tenant_cost[(tenant,)].inc(account.spent.usd)
        for signals in (line.attempt.signals for line in account.lines):
            if signals is not None:
                metrics.tenant_tokens[tenant, "input"].inc(signals.prompt or 0)
                metrics.tenant_tokens[tenant, "output"].inc(signals.completion or 0)

    def _book_line(self, line: Line, model: Model) -> None:
        metrics, attempt, name, role = self._metrics, line.attempt, model.name, line.attempt.role
        if attempt.reason and attempt.reason != "ClientLeft":
            metrics.escalations[name, role, attempt.reason].inc()
        if attempt.confidence is not None:
            metrics.confidence[(name,)].observe(attempt.confidence)
        signals = attempt.signals
        if signals is None:
            return
        metrics.tokens[name, role, "input"].observe(signals.prompt or 0)
        metrics.tokens[name, role, "output"].observe(signals.completion or 0)
        if line.spent.usd:
            metrics.cost[name, role].inc(line.spent.usd)
        if line.spent.device_seconds:
            metrics.device[name, role, model.price.device].inc(line.spent.device_seconds)
        if line.spent.watt_hours:
            metrics.energy[name, role].inc(line.spent.watt_hours)


def _record(account: Account, occasion: Occasion, status: int, now: float) -> dict[str, Any]:
    return {
        "time": round(time.time(), 3),
        "request_id": occasion.request_id,
        "revision": occasion.revision,
        **({"tenant": occasion.tenant} if occasion.tenant else {}),
        "path": occasion.path,
        "status": status,
        "seconds": round(now - occasion.started, 6),
        "intent": occasion.intent,
        "source": occasion.source,
        "data_classes": occasion.data_classes,
        **account.summary(),
    }


class RequestLog:
    """JSON lines on standard output, some at a time: a write a request would cost as much as the request."""

    def __init__(self, out: TextIO | None = None) -> None:
        # Serve replaces sys.stdout in a replica by its own log, which reads the whole stack for each line.
        self._out = out or sys.__stdout__ or sys.stdout
        self._lines: list[bytes] = []
        self._due: asyncio.TimerHandle | None = None

    def write(self, record: Mapping[str, Any]) -> None:
        self._lines.append(orjson.dumps(record))
        if len(self._lines) >= FLUSH_LINES:
            self.flush()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._lines:
            self._out.write(b"\n".join(self._lines).decode() + "\n")
            self._out.flush()
            self._lines.clear()

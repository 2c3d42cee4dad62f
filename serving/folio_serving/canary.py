"""Which requests a candidate table answers, and how the two tables fare.

A conversation always lands at the same table: a draw by hash, new for every candidate, needs no memory and is
the same at every replica.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from folio_api.table import Trial
from folio_serving.conversation import Verdict
from folio_serving.delivery import refused_in_time, trouble_of

_DRAWS = 1 << 32
_SENT = 200
"""Of a stream whose headers a heartbeat sent, too, whatever became of it."""


def is_drawn(revision: bytes, key: bytes, percent: int) -> bool:
    """Return whether whatever has this key is among the percent that try the revision."""
    drawn = hashlib.blake2b(key, digest_size=4, key=revision[:64]).digest()
    return int.from_bytes(drawn) * 100 < percent * _DRAWS


def stickiness(body: Mapping[str, Any], tenant: str, request_id: str) -> bytes:
    """Return what must always land at one table: a conversation, else this request alone.

    A conversation is known by who asks and how it begins, up to the first word of its user. The user alone
    would not do: many clients write one name for all of their traffic.
    """
    messages = body.get("messages")
    if messages is None:
        return request_id.encode()
    first = next((n for n, each in enumerate(messages) if each["role"] == "user"), len(messages) - 1)
    begins = [each.get("content") for each in messages[: first + 1]]
    return orjson.dumps([tenant, body.get("user"), begins])


class Trials:
    """Queries by the revision that answered them, since this replica holds it.

    Only what was answered, or failed on our side, is evidence. A refusal has its cause in the request or in a
    budget, and who left has seen nothing; counted as good, they would hide failures.
    """

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}

    def hold(self, revisions: Collection[str]) -> None:
        """Count these, and forget the others: a candidate that comes back begins anew."""
        self._counts = {each: self._counts.get(each, [0, 0, 0]) for each in revisions}

    def note(self, revision: str, verdict: Verdict, status: int) -> None:
        broke = verdict.failure is not None and verdict.failure.committed
        further = any(one.rung is not None and one.rung > 0 and one.asked for one in verdict.attempts)
        meant = status if broke or status != _SENT else _meant(verdict)
        self._count(revision, meant, failed=meant >= 500 or broke, escalated=further)

    def note_crash(self, revision: str) -> None:
        """Count a query that ended in an exception, and so without a verdict."""
        self._count(revision, 500, failed=True, escalated=False)

    def _count(self, revision: str, status: int, *, failed: bool, escalated: bool) -> None:
        counts = self._counts.get(revision)
        if counts is not None and not 400 <= status < 500:
            counts[0] += 1
            counts[1] += failed
            counts[2] += escalated

    def told(self) -> tuple[Trial, ...]:
        return tuple(
            Trial(revision=revision, requests=requests, errors=errors, escalations=escalations)
            for revision, (requests, errors, escalations) in self._counts.items()
        )


def _meant(verdict: Verdict) -> int:
    """Return the status that the client would have been told, had nothing been sent before."""
    if verdict.answer is not None or refused_in_time(verdict):
        return _SENT
    return 400 if verdict.reason == "BadRequest" else trouble_of(verdict).shape.status

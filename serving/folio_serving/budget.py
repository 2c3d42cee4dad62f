"""What may be spent in a window of time, and who holds how much of it. Pure: clocks are arguments.

A `Book` counts for a whole portfolio. Every gateway replica has a `Lease` of each counter that it spends
from: a slice of the budget, reserved from and settled without asking anybody. What a replica reports is
cumulative within the window, so that a report that is lost or repeated changes nothing, and a Book that
was lost is told again.

Windows are fixed and begin at multiples of their length since 1970: a window of 24h is a day in UTC.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from folio_api.table import BudgetUnit

SCALE: Mapping[BudgetUnit, int] = {"usd": 10**9, "tokens": 1, "requests": 1}
"""Amounts are whole numbers, USD in billionths: sums are exact in any order."""
LEASE_SECONDS = 60.0
"""How long a replica spends without a word from the Book: Ray takes half of it to miss a node."""
EXPIRE_SECONDS = 180.0
"""After which the Book gives what a silent replica had not spent to others. Far more than LEASE_SECONDS: the
replica has long stopped."""
HOLD_SECONDS = 4.0
"""How much a replica keeps in advance, by what it lately spent."""
STOCK_SECONDS = 120.0
"""The same while much is left: for LEASE_SECONDS without the Book, and another replica lost with it."""
STOCK_PART = 16
"""All stocks together are at most this part of what is left: a budget must not end early for their sake."""
DENIED_SECONDS = 0.25
"""How long a replica that got too little does not ask again."""
_RATE_SECONDS = 0.5


class CounterId(NamedTuple):
    """One count: another window or unit is another count, another limit is not."""

    budget: str
    unit: BudgetUnit
    window_seconds: int
    subject: str
    """The tenant or the intent; empty for the portfolio."""


class Report(NamedTuple):
    """What one replica says of its lease."""

    counter: CounterId
    limit: int
    window: int
    used: int
    held: int
    """What it was granted so far in this window and has not given back."""
    lacks: int
    """What requests wait for, beyond `held`."""
    want: int
    """What it would like beyond `held`; at least what it lacks."""


class Grant(NamedTuple):
    """What the Book says to that."""

    counter: CounterId
    window: int
    granted: int
    """In all, in this window."""
    seconds_left: float
    spent: int
    """By all replicas, as far as reported."""
    stock: int
    """What this replica may keep in advance although others may want it, so much is left."""
    is_short: bool
    """Whether it lacks something still."""


@dataclass(slots=True)
class _Share:
    """What the Book knows of one replica."""

    used: int = 0
    granted: int = 0
    seen: float = 0.0

    def committed(self, now: float) -> int:
        """Return what nobody else may have."""
        return self.used if now - self.seen > EXPIRE_SECONDS else max(self.used, self.granted)


@dataclass(slots=True)
class _Count:
    window: int
    ends: float
    shares: dict[str, _Share] = field(default_factory=dict)

    @property
    def spent(self) -> int:
        return sum(share.used for share in self.shares.values())


@dataclass(slots=True)
class Book:
    """Counts of a whole portfolio. `now` is seconds since 1970: this clock alone decides on windows."""

    _counts: dict[CounterId, _Count] = field(default_factory=dict)

    def exchange(self, replica: str, reports: Iterable[Report], now: float) -> tuple[Grant, ...]:
        """Note what a replica reports and grant it what there is."""
        return tuple(self._exchange(replica, report, now) for report in reports)

    def drop_ended(self, now: float) -> None:
        """Forget the counts of windows that are over."""
        self._counts = {counter: count for counter, count in self._counts.items() if now < count.ends}

    def content(self) -> list[Any]:
        """Return everything as JSON, for `restored`."""
        return [
            [*counter, count.window, {name: [s.used, s.granted, s.seen] for name, s in count.shares.items()}]
            for counter, count in self._counts.items()
        ]

    @classmethod
    def restored(cls, content: Iterable[Any]) -> Book:
        """Return the Book that had this content."""
        book = cls()
        for budget, unit, seconds, subject, window, shares in content:
            count = _Count(window, (window + 1) * seconds)
            count.shares = {name: _Share(*share) for name, share in shares.items()}
            book._counts[CounterId(budget, unit, seconds, subject)] = count
        return book

    def _exchange(self, replica: str, report: Report, now: float) -> Grant:
        count = self._count(report.counter, now)
        share = count.shares.setdefault(replica, _Share())
        share.seen = now
        if report.window == count.window:
            share.used = max(share.used, report.used)
            share.granted = report.held
        free = report.limit - sum(one.committed(now) for one in count.shares.values())
        living = _living(count.shares.values(), now)
        part = _part(report, free, living)
        share.granted += part
        stock = max(0, report.limit - count.spent) // (STOCK_PART * living)
        left, short = count.ends - now, part < report.lacks
        return Grant(report.counter, count.window, share.granted, left, count.spent, stock, short)

    def _count(self, counter: CounterId, now: float) -> _Count:
        """Return the count of the present window; what was counted in an earlier one is over.

        Windows only go forward: a clock that is set back must not forget what was spent.
        """
        window = int(now // counter.window_seconds)
        known = self._counts.get(counter)
        if known is None or known.window < window:
            known = self._counts[counter] = _Count(window, (window + 1) * counter.window_seconds)
        return known


def _living(shares: Iterable[_Share], now: float) -> int:
    return sum(now - share.seen <= EXPIRE_SECONDS for share in shares)


def _part(report: Report, free: int, replicas: int) -> int:
    """Return how much one replica gets: what requests wait for, and in advance a fair part of the rest."""
    if free <= 0:
        return 0
    return min(report.want, max(min(report.lacks, free), free // (2 * replicas)))


@dataclass(slots=True)
class Lease:
    """One replica's slice of one counter. `now` is its own monotonic clock."""

    counter: CounterId
    limit: int
    window: int = -1
    granted: int = 0
    used: int = 0
    reserved: int = 0
    """By requests that are under way."""
    spent: int = 0
    """By all replicas, as the Book last said."""
    stock: int = 0
    """What it may keep in advance while much is left, as the Book last said."""
    need: int = 0
    """What requests wait for; kept by whoever makes them wait."""
    ends: float = -math.inf
    fresh_until: float = -math.inf
    denied_until: float = -math.inf
    _first: int = -1
    """The window of the Book's first word: what was reserved before it belongs to that one."""
    _rate: float = 0.0
    _rated_at: float = -math.inf
    _rated_total: int = 0
    _told: int = -1
    """The total that was last put into a report."""
    _reported: int = -1
    """The total that the Book answered to."""

    @property
    def total(self) -> int:
        return self.used + self.reserved

    def is_valid(self, now: float) -> bool:
        return now < self.ends and now < self.fresh_until

    def reserve(self, amount: int, now: float) -> bool:
        """Take an amount out of the slice, if it is there."""
        if not self.is_valid(now) or self.total + amount > self.granted:
            return False
        self.reserved += amount
        return True

    def force(self, amount: int) -> None:
        """Take an amount that is not there: what is spent all the same must be counted."""
        self.reserved += amount

    def settle(self, window: int, reserved: int, actual: int) -> None:
        """Book what a reservation came to; what was reserved in a window that is over belongs to that one."""
        if self.counts(window):
            self.reserved = max(0, self.reserved - reserved)  # a counter that began anew may have gone back
            self.used += actual

    def counts(self, window: int) -> bool:
        """Whether what was reserved in this window counts in the present one."""
        return window == self.window or (window < 0 and self.window == self._first)

    def is_stirred(self) -> bool:
        """Whether the Book ought to hear of it: something was spent, or something is held in vain."""
        return self.total != self._reported or self.granted > self.total or self.need > 0

    def is_unheard(self) -> bool:
        """Whether something was spent before the Book's first word, which it thus knows nothing of."""
        return self.window < 0 and self.used > 0

    def report(self, now: float) -> Report:
        """Return what to tell the Book. What the lease needs no longer it gives back, before it says so."""
        self._rate_spending(now)
        lapsed = now >= self.fresh_until
        target = self.total + max(self.need, 0 if lapsed else self._advance())
        self.granted = min(self.granted, self.total if lapsed else target)
        self._told = self.total
        want = max(0, target - self.granted)
        lacks = max(0, self.total + self.need - self.granted)
        return Report(self.counter, self.limit, self.window, self.used, self.granted, lacks, want)

    def take(self, grant: Grant, asked_at: float) -> None:
        """Hear the Book's answer to a report made at `asked_at`."""
        if grant.window != self.window:
            self._open(grant.window)
        else:
            self._reported = self._told
        self.granted, self.spent, self.stock = grant.granted, grant.spent, grant.stock
        self.ends = asked_at + grant.seconds_left
        self.fresh_until = asked_at + LEASE_SECONDS
        if grant.is_short:
            self.denied_until = asked_at + DENIED_SECONDS

    def _open(self, window: int) -> None:
        """Begin with nothing; what came before the Book's first word belongs to its first window."""
        if self.window < 0:
            self._first = window
        else:
            self.used = self.reserved = 0
        self.window, self._reported, self._rated_total = window, -1, 0

    def give_back(self) -> None:
        """Keep nothing in advance any more: the replica is leaving."""
        self._rate, self._rated_at = 0.0, math.inf

    def _advance(self) -> int:
        """Return what to keep beyond what is spent."""
        hold, stock = (round(self._rate * seconds) for seconds in (HOLD_SECONDS, STOCK_SECONDS))
        return max(hold, min(stock, self.stock))

    def _rate_spending(self, now: float) -> None:
        elapsed = now - self._rated_at
        if elapsed < _RATE_SECONDS:
            return
        rate = max(0, self.total - self._rated_total) / elapsed
        self._rate = (self._rate + rate) / 2
        self._rated_at, self._rated_total = now, self.total

"""Leader election by a coordination.k8s.io Lease, so that two operators never reconcile at the same time.

A thread of its own with a client of its own: a stuck event loop must not renew, and must not stop a standby.
Clocks of two machines differ, so a lease counts as expired only when its record has not changed for its whole
duration by our own monotonic clock (the rule of client-go's leaderelection).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds. `give_up` < `duration`: we stop before anybody else may begin."""

    duration: float = 10.0
    renew_every: float = 2.0
    give_up: float = 7.0


@dataclass(frozen=True, slots=True)
class Record:
    """The Lease as the API server holds it."""

    holder: str
    """Empty: released."""
    transitions: int
    version: str
    """resourceVersion; empty for a Lease that is to be created."""


class ConflictError(Exception):
    """Somebody wrote the Lease since we read it."""


class LeaseStore(Protocol):
    """One Lease object. Raises OSError for trouble on the way to the API server."""

    def read(self) -> Record | None: ...

    def write(self, record: Record) -> Record:
        """Create or replace by `version`, renewed now; return what is stored. Raises ConflictError."""


Role = Literal["leader", "standby", "deposed"]


@dataclass(frozen=True, slots=True)
class Election:
    """What one candidate knows. Every method returns the next state; `now` is monotonic seconds."""

    me: str
    terms: Terms = field(default_factory=Terms)
    role: Role = "standby"
    seen: Record | None = None
    seen_at: float = 0.0
    """When `seen` last changed."""
    renewed_at: float = 0.0

    def observed(self, record: Record | None, now: float) -> Election:
        """Take note of what is stored."""
        if record == self.seen:
            return self
        return replace(self, seen=record, seen_at=now)

    def bid(self, now: float) -> Record | None:
        """Return what to write to hold the Lease from now on; None while another holds it."""
        if self.seen is None:
            return Record(self.me, transitions=0, version="")
        if self.seen.holder == self.me:
            return self.seen
        if not self.seen.holder or now - self.seen_at >= self.terms.duration:
            return Record(self.me, self.seen.transitions + 1, self.seen.version)
        return None

    def won(self, record: Record, now: float) -> Election:
        return replace(self, role="leader", seen=record, seen_at=now, renewed_at=now)

    def failed(self, now: float) -> Election:
        """A read or write did not succeed; a leader that could not renew for too long is deposed."""
        late = self.role == "leader" and now - self.renewed_at >= self.terms.give_up
        return replace(self, role="deposed") if late else self


@dataclass
class Elector:
    """Runs an Election against a store until stopped; each of the two callbacks is called at most once."""

    store: LeaseStore
    election: Election
    on_elected: Callable[[], None]
    on_deposed: Callable[[], None]
    may_renew: Callable[[], bool] = lambda: True
    """False when the main loop's heartbeat is old: a leader that does nothing must not keep others out."""
    clock: Callable[[], float] = time.monotonic
    _stop: threading.Event = field(default_factory=threading.Event, init=False)

    def run(self) -> None:
        """Bid and renew until `stop` or deposed; at the end a held Lease is released."""
        while not self._stop.is_set():
            self._step()
            if self.election.role == "deposed":
                self.on_deposed()
                return
            self._stop.wait(self.terms.renew_every)
        self._release()

    def stop(self) -> None:
        self._stop.set()

    @property
    def terms(self) -> Terms:
        return self.election.terms

    def _step(self) -> None:
        before = self.election.role
        try:
            self._try()
        except (ConflictError, OSError) as trouble:
            logger.warning("lease: %s", trouble)
            self.election = self._after_failure()
        if before == "standby" and self.election.role == "leader":
            self.on_elected()

    def _try(self) -> None:
        if not self.may_renew():
            self.election = self.election.failed(self.clock())
            return
        if self.election.role != "leader":
            # A leader replaces from the version it last wrote: no read, and a conflict proves a usurper.
            self.election = self.election.observed(self.store.read(), self.clock())
        if (bid := self.election.bid(self.clock())) is not None:
            asked_at = self.clock()
            self.election = self.election.won(self.store.write(bid), asked_at)

    def _after_failure(self) -> Election:
        if self.election.role != "leader":
            return self.election
        try:
            stored = self.store.read()
        except OSError:
            return self.election.failed(self.clock())
        if stored is None or stored.holder != self.election.me:
            return replace(self.election, role="deposed")
        # Our own write arrived and its answer did not: go on from the version it made.
        return replace(self.election, seen=stored).failed(self.clock())

    def _release(self) -> None:
        if self.election.role != "leader" or self.election.seen is None:
            return
        try:
            self.store.write(replace(self.election.seen, holder=""))
        except (ConflictError, OSError) as trouble:
            logger.warning("lease not released, it expires by itself: %s", trouble)

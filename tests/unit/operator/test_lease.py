"""Leader election on a fake Lease and a fake clock."""

import threading
from dataclasses import dataclass, field, replace

import pytest

from folio_operator.lease import ConflictError, Election, Elector, Record, Terms

TERMS = Terms(duration=10, renew_every=0.001, give_up=7)


@dataclass
class FakeLease:
    """A Lease in memory, with the API server's optimistic locking; `down` makes it unreachable."""

    record: Record | None = None
    down: bool = False
    writes: int = 0

    def read(self) -> Record | None:
        self._reach()
        return self.record

    def write(self, record: Record) -> Record:
        self._reach()
        if record.version != (self.record.version if self.record else ""):
            raise ConflictError("the object has been modified")
        self.writes += 1
        self.record = replace(record, version=str(int(record.version or 0) + 1))
        return self.record

    def _reach(self) -> None:
        if self.down:
            raise ConnectionError("connection refused")


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Candidate:
    lease: FakeLease
    clock: Clock
    name: str = "a"
    calls: list[str] = field(default_factory=list)
    lively: bool = True

    def __post_init__(self) -> None:
        self.elector = Elector(
            self.lease,
            Election(self.name, TERMS),
            on_elected=lambda: self.calls.append("elected"),
            on_deposed=lambda: self.calls.append("deposed"),
            may_renew=lambda: self.lively,
            clock=self.clock,
        )

    def step(self, seconds: float = 2) -> str:
        self.clock.now += seconds
        self.elector._step()
        return self.elector.election.role


def test_the_first_candidate_leads_and_the_second_stands_by() -> None:
    lease, clock = FakeLease(), Clock()
    first, second = Candidate(lease, clock, "a"), Candidate(lease, clock, "b")
    assert (first.step(), second.step()) == ("leader", "standby")
    assert first.calls == ["elected"]
    assert second.calls == []


def test_a_leader_renews_without_reading() -> None:
    lease, clock = FakeLease(), Clock()
    leader = Candidate(lease, clock)
    leader.step()
    lease.read = lambda: pytest.fail("a leader read its own Lease")  # type: ignore[method-assign]
    assert leader.step() == "leader"
    assert lease.writes == 2


def test_a_standby_takes_over_only_when_the_record_stood_still_for_the_whole_duration() -> None:
    lease, clock = FakeLease(), Clock()
    Candidate(lease, clock, "a").step()
    standby = Candidate(lease, clock, "b")
    assert standby.step(0) == "standby"
    assert standby.step(9) == "standby"
    assert standby.step(1) == "leader"
    assert lease.record is not None
    assert lease.record.transitions == 1


def test_a_released_lease_is_taken_at_once() -> None:
    lease, clock = FakeLease(Record("", 3, "7")), Clock()
    assert Candidate(lease, clock, "b").step(0) == "leader"


def test_a_leader_that_cannot_renew_gives_up_before_the_lease_expires() -> None:
    lease, clock = FakeLease(), Clock()
    leader = Candidate(lease, clock)
    leader.step()
    lease.down = True
    assert [leader.step(), leader.step(), leader.step(), leader.step()] == ["leader"] * 3 + ["deposed"]


def test_an_answer_lost_on_the_way_is_no_conflict() -> None:
    lease, clock = FakeLease(), Clock()
    leader = Candidate(lease, clock)
    leader.step()
    assert lease.record is not None
    lease.record = replace(lease.record, version="9")  # our own write arrived; we never heard of it
    assert leader.step() == "leader"
    assert leader.step() == "leader"
    assert lease.record.version == "10"


def test_a_usurper_deposes_the_leader_at_once() -> None:
    lease, clock = FakeLease(), Clock()
    leader = Candidate(lease, clock)
    leader.step()
    lease.record = Record("b", 1, "9")
    assert leader.step() == "deposed"


def test_a_leader_with_a_stuck_loop_stops_renewing() -> None:
    lease, clock = FakeLease(), Clock()
    leader = Candidate(lease, clock)
    leader.step()
    leader.lively = False
    assert [leader.step(), leader.step(), leader.step(), leader.step()] == ["leader"] * 3 + ["deposed"]
    assert lease.writes == 1


def test_stop_releases_the_lease() -> None:
    lease = FakeLease()
    candidate = Candidate(lease, Clock())
    thread = threading.Thread(target=candidate.elector.run)
    candidate.elector.on_elected = candidate.elector.stop
    thread.start()
    thread.join(timeout=2)
    assert lease.record is not None
    assert lease.record.holder == ""


def test_a_deposed_leader_says_so_once_and_does_not_release_what_is_not_its_own() -> None:
    lease = FakeLease()
    candidate = Candidate(lease, Clock())
    candidate.step()
    lease.record = Record("b", 1, "9")
    candidate.elector.run()
    assert candidate.calls == ["elected", "deposed"]
    assert lease.record.holder == "b"

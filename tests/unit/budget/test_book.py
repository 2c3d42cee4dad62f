"""The pure core of the budgets: what a Book grants, and what a replica's lease lets through."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folio_serving.budget import (
    EXPIRE_SECONDS,
    HOLD_SECONDS,
    LEASE_SECONDS,
    STOCK_PART,
    STOCK_SECONDS,
    Book,
    CounterId,
    Lease,
    Report,
)

DAY = 86_400
COUNTER = CounterId("day", "requests", DAY, "")
NOON = 20_000 * DAY + DAY / 2


def leased(book: Book, lease: Lease, need: int, now: float, replica: str = "a") -> Lease:
    """Exchange once, with something to wait for; both clocks are the same one."""
    lease.need = need
    (grant,) = book.exchange(replica, [lease.report(now)], now)
    lease.take(grant, now)
    lease.need = 0
    return lease


def test_a_lease_without_a_word_from_the_book_lets_nothing_through() -> None:
    assert not Lease(COUNTER, 10).reserve(1, NOON)


def test_what_is_reserved_is_taken_and_what_is_settled_is_what_it_came_to() -> None:
    lease = leased(Book(), Lease(COUNTER, 100), 10, NOON)
    assert lease.reserve(10, NOON)
    lease.settle(lease.window, 10, 4)
    assert (lease.used, lease.reserved, lease.granted) == (4, 0, 10)


def test_replicas_get_what_they_need_as_long_as_there_is_any() -> None:
    book = Book()
    assert leased(book, Lease(COUNTER, 100), 1, NOON).granted == 1
    assert leased(book, Lease(COUNTER, 100), 90, NOON, "b").granted == 90
    assert leased(book, Lease(COUNTER, 100), 90, NOON, "c").granted == 9


def test_in_advance_a_replica_gets_at_most_its_part_of_half_of_what_is_free() -> None:
    book = Book()
    eager = Report(COUNTER, 100, int(NOON // DAY), 0, 0, 0, 100)
    granted = [book.exchange(replica, [eager], NOON)[0].granted for replica in "abc"]
    assert granted == [50, 12, 6]


def test_nothing_is_granted_beyond_the_limit() -> None:
    book = Book()
    assert leased(book, Lease(COUNTER, 3), 3, NOON).reserve(3, NOON)
    other = leased(book, Lease(COUNTER, 3), 1, NOON, "b")
    assert not other.reserve(1, NOON)
    assert other.denied_until > NOON


def test_a_report_that_is_repeated_or_late_counts_once() -> None:
    book, report = Book(), Report(COUNTER, 100, int(NOON // DAY), 7, 7, 0, 0)
    for _ in range(3):
        book.exchange("a", [report], NOON)
    (grant,) = book.exchange("a", [report._replace(used=5)], NOON)
    assert grant.spent == 7


def test_a_new_window_begins_at_midnight_with_nothing_spent() -> None:
    book = Book()
    lease = leased(book, Lease(COUNTER, 10), 10, NOON)
    lease.reserve(10, NOON)
    midnight = NOON + DAY / 2
    assert lease.ends == midnight
    assert not lease.reserve(0, midnight)
    assert leased(book, lease, 4, midnight).spent == 0
    assert lease.reserve(4, midnight)


def test_a_clock_that_is_set_back_over_midnight_forgets_nothing() -> None:
    book, midnight = Book(), NOON + DAY / 2
    today = Report(COUNTER, 10, int(midnight // DAY), 7, 7, 0, 0)
    book.exchange("a", [today], midnight + 1)
    (back,) = book.exchange("a", [today], midnight - 1)
    (again,) = book.exchange("b", [today._replace(used=0, held=0, lacks=5, want=5)], midnight + 1)
    assert (back.window, back.spent, back.seconds_left) == (today.window, 7, DAY + 1)
    assert (again.spent, again.granted) == (7, 3)


def test_a_lease_whose_report_got_lost_is_still_to_be_heard() -> None:
    book = Book()
    lease = leased(book, Lease(COUNTER, 10), 3, NOON)
    lease.reserve(3, NOON)
    leased(book, lease, 0, NOON)
    lease.settle(lease.window, 3, 3)
    lease.force(2)
    lease.report(NOON)
    assert lease.is_stirred()
    leased(book, lease, 0, NOON)
    assert not lease.is_stirred()


def test_what_was_reserved_before_midnight_is_not_booked_on_the_new_day() -> None:
    book = Book()
    lease = leased(book, Lease(COUNTER, 10), 10, NOON)
    lease.reserve(10, NOON)
    yesterday = lease.window
    leased(book, lease, 4, NOON + DAY)
    lease.settle(yesterday, 10, 9)
    assert (lease.used, lease.reserved) == (0, 0)


def test_a_lease_lapses_when_its_counter_is_silent() -> None:
    lease = leased(Book(), Lease(COUNTER, 10), 5, NOON)
    assert lease.reserve(1, NOON + LEASE_SECONDS - 0.1)
    assert not lease.reserve(1, NOON + LEASE_SECONDS)


def test_what_a_silent_replica_had_not_spent_goes_to_others_in_the_end() -> None:
    book = Book()
    dead = leased(book, Lease(COUNTER, 10), 10, NOON)
    dead.reserve(3, NOON)
    dead.settle(dead.window, 3, 3)
    leased(book, dead, 0, NOON)
    dead = leased(book, dead, 7, NOON + 1)
    assert leased(book, Lease(COUNTER, 10), 5, NOON + 2, "b").granted == 0
    later = NOON + 2 + EXPIRE_SECONDS
    assert leased(book, Lease(COUNTER, 10), 7, later, "c").granted == 7


@pytest.mark.parametrize(
    ("limit", "advance"),
    [
        (5_000, 100 * HOLD_SECONDS),
        (100_000, (100_000 - 800) // STOCK_PART),
        (10_000_000, 100 * STOCK_SECONDS),
    ],
)
def test_a_lease_keeps_in_advance_what_it_lately_spent_and_more_while_much_is_left(
    limit: int, advance: float
) -> None:
    book, lease = Book(), Lease(COUNTER, limit)
    now = NOON
    for _ in range(8):
        leased(book, lease, 0, now)
        for _ in range(100):
            if not lease.reserve(1, now):
                leased(book, lease, 1, now)
                assert lease.reserve(1, now)
            lease.settle(lease.window, 1, 1)
        now += 1
    leased(book, lease, 0, now)
    assert lease.granted - lease.used == pytest.approx(advance, rel=0.05)


def test_a_stock_lasts_while_the_counter_is_away_and_another_replica_too() -> None:
    book, lease = Book(), Lease(COUNTER, 10_000_000)
    for second in range(8):
        leased(book, lease, 0, NOON + second)
        lease.force(10)
    leased(book, lease, 0, NOON + 8)
    for second in range(8, 8 + round(LEASE_SECONDS)):
        assert all(lease.reserve(1, NOON + second) for _ in range(18))


def test_an_idle_lease_gives_everything_back() -> None:
    book, lease = Book(), Lease(COUNTER, 10_000)
    leased(book, lease, 400, NOON).reserve(100, NOON)
    lease.settle(lease.window, 100, 100)
    for second in range(1, 20):
        leased(book, lease, 0, NOON + second)
    assert lease.granted == lease.used == 100


def test_a_replica_that_leaves_gives_back_at_once() -> None:
    book = Book()
    lease = leased(book, Lease(COUNTER, 10), 10, NOON)
    lease.give_back()
    leased(book, lease, 0, NOON)
    assert leased(book, Lease(COUNTER, 10), 10, NOON, "b").granted == 10


def test_what_was_forced_before_the_first_word_is_counted_with_it() -> None:
    lease = Lease(COUNTER, 10)
    lease.force(3)
    lease.settle(-1, 3, 3)
    book = Book()
    leased(book, lease, 0, NOON)
    assert leased(book, lease, 0, NOON).spent == 3


def test_what_is_under_way_at_the_first_word_is_counted_when_it_ends() -> None:
    lease, book = Lease(COUNTER, 10), Book()
    lease.force(3)
    leased(book, lease, 0, NOON)
    assert lease.total == 3
    lease.settle(-1, 3, 2)
    assert lease.total == 2
    leased(book, lease, 0, NOON)
    assert leased(book, lease, 0, NOON).spent == 2


def test_what_was_under_way_at_the_first_word_is_not_booked_on_the_next_day() -> None:
    lease, book = Lease(COUNTER, 10), Book()
    lease.force(3)
    leased(book, lease, 0, NOON)
    leased(book, lease, 0, NOON + DAY)
    lease.settle(-1, 3, 3)
    assert lease.total == 0


def test_a_saved_book_is_the_same_book() -> None:
    book = Book()
    leased(book, Lease(COUNTER, 10), 6, NOON).reserve(6, NOON)
    leased(book, Lease(CounterId("b", "usd", 60, "acme"), 5), 1, NOON, "b")
    restored = Book.restored(orjson.loads(orjson.dumps(book.content())))
    assert restored == book


def test_a_lost_book_learns_from_the_next_reports_what_was_spent_and_what_is_held() -> None:
    old = Book()
    lease = leased(old, Lease(COUNTER, 10), 8, NOON)
    lease.reserve(5, NOON)
    lease.settle(lease.window, 5, 5)
    lease.reserve(3, NOON)
    new = Book()
    assert leased(new, lease, 0, NOON).spent == 5
    assert leased(new, Lease(COUNTER, 10), 10, NOON, "b").granted == 2


def test_counts_of_windows_that_are_over_are_forgotten() -> None:
    book = Book()
    leased(book, Lease(COUNTER, 10), 8, NOON)
    book.drop_ended(NOON)
    assert book.content()
    book.drop_ended(NOON + DAY)
    assert not book.content()


@dataclass
class Fleet:
    """Replicas that spend from one counter. Messages get lost in both directions; queries end with any amount."""

    limit: int
    book: Book = field(default_factory=Book)
    leases: dict[str, Lease] = field(default_factory=dict)
    open: list[tuple[Lease, int, int]] = field(default_factory=list)
    excess: int = 0
    """What settled above its reservation: an estimate was too low."""
    now: float = NOON

    def lease(self, replica: str) -> Lease:
        return self.leases.setdefault(replica, Lease(COUNTER, self.limit))

    def exchange(self, replica: str, need: int, lost: str) -> None:
        lease = self.lease(replica)
        lease.need = need
        report = lease.report(self.now)
        if lost != "report":
            (grant,) = self.book.exchange(replica, [report], self.now)
            if lost != "grant":
                lease.take(grant, self.now)
        lease.need = 0

    def ask(self, replica: str, amount: int) -> None:
        lease = self.lease(replica)
        if lease.reserve(amount, self.now):
            self.open.append((lease, lease.window, amount))

    def end(self, share: float) -> None:
        if self.open:
            lease, window, reserved = self.open.pop(0)
            actual = round(reserved * share)
            self.excess += max(0, actual - reserved)
            lease.settle(window, reserved, actual)

    @property
    def committed(self) -> int:
        return sum(lease.total for lease in self.leases.values())


REPLICAS = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("exchange"), REPLICAS, st.integers(0, 40), st.sampled_from(["", "report", "grant"])
        ),
        st.tuples(st.just("ask"), REPLICAS, st.integers(0, 30)),
        st.tuples(st.just("end"), st.sampled_from([0.0, 0.5, 1.0, 1.5])),
        st.tuples(st.just("wait"), st.floats(0.0, 5.0)),
    ),
    max_size=80,
)


def take(fleet: Fleet, step: tuple[object, ...]) -> None:
    name, *values = step
    if name == "wait":
        # Short of a minute in all: what happens to silent replicas has its own test.
        fleet.now = min(fleet.now + values[0], NOON + EXPIRE_SECONDS - 1)  # type: ignore[operator]
    else:
        getattr(fleet, str(name))(*values)


@settings(max_examples=300, deadline=None)
@given(limit=st.integers(0, 200), steps=STEPS)
def test_never_more_is_spent_than_the_limit_and_what_estimates_were_too_low_by(
    limit: int, steps: list[tuple[object, ...]]
) -> None:
    fleet = Fleet(limit)
    for step in steps:
        take(fleet, step)
        assert fleet.committed <= limit + fleet.excess
    for lease in fleet.leases.values():
        assert lease.reserved >= 0


@settings(max_examples=200, deadline=None)
@given(limit=st.integers(1, 500), steps=STEPS)
def test_whatever_was_lost_the_book_knows_all_once_everybody_was_heard(
    limit: int, steps: list[tuple[object, ...]]
) -> None:
    fleet = Fleet(limit)
    for step in steps:
        take(fleet, step)
    while fleet.open:
        fleet.end(1.0)
    for replica in fleet.leases:
        fleet.exchange(replica, 0, "")
    for lease in fleet.leases.values():
        lease.give_back()
    for replica in fleet.leases:
        fleet.exchange(replica, 0, "")
    used = sum(lease.used for lease in fleet.leases.values())
    spare = max(0, limit - used)
    last = leased(fleet.book, Lease(COUNTER, limit), spare, fleet.now, "last")
    assert (last.spent, last.granted) == (used, spare)

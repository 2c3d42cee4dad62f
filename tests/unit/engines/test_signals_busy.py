from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folio_serving.engines.busy import BusyClock


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_a_request_alone_is_charged_its_wall_time() -> None:
    now = Clock()
    busy = BusyClock(now)
    now.time += 50  # idle
    mark = busy.enter()
    now.time += 2
    assert busy.leave(mark) == pytest.approx(2)


def test_two_at_a_time_share_it() -> None:
    now = Clock()
    busy = BusyClock(now)
    first = busy.enter()
    now.time += 1
    second = busy.enter()
    now.time += 4
    assert busy.leave(first) == pytest.approx(3)
    now.time += 1
    assert busy.so_far(second) == pytest.approx(3)
    assert busy.leave(second) == pytest.approx(3)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 10)), max_size=40))
def test_all_shares_sum_up_to_the_busy_time(steps: list[tuple[bool, float]]) -> None:
    now = Clock()
    busy = BusyClock(now)
    marks: list[float] = []
    shares = worked = 0.0
    for enter, seconds in steps:
        if enter or not marks:
            marks.append(busy.enter())
        else:
            shares += busy.leave(marks.pop(0))
        now.time += seconds
        worked += seconds if marks else 0
    shares += sum(busy.leave(mark) for mark in marks)
    assert shares == pytest.approx(worked, abs=1e-6)

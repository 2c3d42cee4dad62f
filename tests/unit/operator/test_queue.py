"""The work queue on a real event loop, at a pace of milliseconds."""

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from folio_operator.queue import Pace, WorkQueue

FAST = Pace(
    workers=4,
    settle_seconds=0.01,
    settle_most_seconds=0.05,
    backoff_first_seconds=0.02,
    backoff_most_seconds=0.04,
    jitter=0,
)


@asynccontextmanager
async def working(
    run_pass: Callable[[str], Awaitable[float | None]],
    pace: Pace = FAST,
    is_patient: Callable[[str], bool] = lambda _: False,
):
    queue: WorkQueue[str] = WorkQueue(run_pass, pace, random.Random(7), is_patient)
    stop = asyncio.Event()
    task = asyncio.create_task(queue.run(stop))
    try:
        yield queue
    finally:
        stop.set()
        await asyncio.wait_for(task, timeout=2)


async def test_a_burst_of_events_is_one_pass() -> None:
    passes: list[str] = []

    async def note(key: str) -> None:
        passes.append(key)

    async with working(note) as queue:
        for _ in range(100):
            queue.put("a")
        await asyncio.sleep(0.05)
    assert passes == ["a"]


async def test_a_stream_of_events_cannot_put_a_pass_off_for_ever() -> None:
    passes: list[str] = []

    async def note(key: str) -> None:
        passes.append(key)

    async with working(note) as queue:
        for _ in range(40):
            queue.put("a")
            await asyncio.sleep(0.004)
        assert passes


async def test_passes_of_one_key_never_overlap_and_an_event_meanwhile_is_not_lost() -> None:
    running = most = passes = 0

    async def slow(key: str) -> None:
        nonlocal running, most, passes
        running += 1
        passes += 1
        most = max(most, running)
        await asyncio.sleep(0.03)
        running -= 1

    async with working(slow) as queue:
        queue.put("a")
        await asyncio.sleep(0.02)  # the first pass runs
        queue.put("a")
        await asyncio.sleep(0.12)
    assert (most, passes) == (1, 2)


async def test_an_event_of_a_key_that_waits_for_a_worker_asks_for_no_second_pass() -> None:
    passes: list[str] = []
    free = asyncio.Event()

    async def held(key: str) -> None:
        passes.append(key)
        await free.wait()

    async with working(held, replace(FAST, workers=1)) as queue:
        queue.put("a")
        await asyncio.sleep(0.02)
        queue.put("b")
        await asyncio.sleep(0.02)  # it is due, and waits for the one worker
        queue.put("b")
        free.set()
        await asyncio.sleep(0.05)
    assert passes == ["a", "b"]


class PlayedTime(asyncio.SelectorEventLoop):
    """Nobody waits: where nothing is left to do, the clock goes on to whatever comes next."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = selectors.DefaultSelector()
        super().__init__(selector)
        look = selector.select

        def select(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            self.now += timeout or 0.0
            return look(0)

        selector.select = select  # type: ignore[method-assign]

    def time(self) -> float:
        return self.now


def test_patient_keys_let_others_go_first_but_not_for_ever() -> None:
    with asyncio.Runner(loop_factory=PlayedTime) as runner:
        passes = runner.run(_passes_with_a_patient_key())
    # A pass takes 10 ms: ten go first in its 100 ms, and those that were due by then.
    assert 10 <= passes.index("patient") <= 13


async def _passes_with_a_patient_key() -> list[str]:
    passes: list[str] = []

    async def work(key: str) -> float | None:
        passes.append(key)
        await asyncio.sleep(0.01)
        return 0.0 if key.startswith("busy") and len(passes) < 40 else None

    pace = replace(FAST, workers=1, patience_seconds=0.1)
    async with working(work, pace, is_patient=lambda key: key == "patient") as queue:
        for key in ("patient", "busy-1", "busy-2"):
            queue.put(key)
        await asyncio.sleep(0.5)
    return passes


async def test_passes_of_different_keys_run_side_by_side() -> None:
    arrived: set[str] = set()
    both = asyncio.Event()

    async def meet(key: str) -> None:
        arrived.add(key)
        if len(arrived) == 2:
            both.set()
        await asyncio.wait_for(both.wait(), timeout=1)

    async with working(meet) as queue:
        queue.put("a")
        queue.put("b")
        await asyncio.wait_for(both.wait(), timeout=1)


async def test_a_pass_that_raises_is_repeated_with_backoff(caplog: pytest.LogCaptureFixture) -> None:
    attempts = 0

    async def fail_twice(key: str) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise ConnectionError("no route")

    async with working(fail_twice) as queue:
        queue.put("a")
        await asyncio.sleep(0.2)
    assert attempts == 3
    assert "again in 0.0 s" in caplog.text


async def test_an_event_does_not_wait_for_the_backoff() -> None:
    attempts = 0

    async def fail(key: str) -> None:
        nonlocal attempts
        attempts += 1
        raise ConnectionError("no route")

    slow = Pace(workers=1, settle_seconds=0.01, settle_most_seconds=0.05, backoff_first_seconds=30)
    async with working(fail, slow) as queue:
        queue.put("a")
        await asyncio.sleep(0.04)
        queue.put("a")
        await asyncio.sleep(0.04)
    assert attempts == 2


async def test_a_pass_may_ask_to_run_again() -> None:
    passes = 0

    async def poll(key: str) -> float | None:
        nonlocal passes
        passes += 1
        return 0.01 if passes < 3 else None

    async with working(poll) as queue:
        queue.put("a")
        await asyncio.sleep(0.15)
        assert queue.depth == 0
    assert passes == 3


async def test_stop_finishes_the_running_pass_and_drops_the_waiting_ones() -> None:
    finished: list[str] = []

    async def slow(key: str) -> None:
        await asyncio.sleep(0.05)
        finished.append(key)

    one = Pace(workers=1, settle_seconds=0.001, settle_most_seconds=0.01)
    async with working(slow, one) as queue:
        queue.put("a")
        await asyncio.sleep(0.02)
        queue.put("b")
        await asyncio.sleep(0.01)
        assert queue.depth == 1
    assert finished == ["a"]


async def test_what_events_still_bring_after_a_stop_is_not_begun() -> None:
    begun: list[str] = []

    async def slow(key: str) -> float:
        begun.append(key)
        await asyncio.sleep(0.05)
        return 0.0

    one = Pace(workers=1, settle_seconds=0.001, settle_most_seconds=0.01)
    async with working(slow, one) as queue:
        queue.put("a")
        await asyncio.sleep(0.02)
        bringing = asyncio.create_task(_bring(queue))
    await bringing
    assert begun == ["a"]


async def _bring(queue: WorkQueue[str]) -> None:
    for number in range(20):
        await asyncio.sleep(0.005)
        queue.put(str(number))

"""How far a budget is overspent and underused when many replicas spend from it: `python -m bench.budgets`.

Real leases on one event loop, a counter that answers after some milliseconds, queries that take a while
and cost something else than was reserved. Each line is one budget that is spent within a few seconds: near
its end is where leases differ from one count.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

from folio_api.table import Budget
from folio_serving.budget import Grant, Report
from folio_serving.counter import OwnCounter
from folio_serving.leases import Leases

BUDGET = Budget(name="day", scope="Portfolio", unit="tokens", limit=0, window_seconds=86_400)
RESERVED = 600
SECONDS = 8.0


@dataclass
class Far(OwnCounter):
    """A counter behind a network."""

    seconds: float
    asked: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    async def exchange(self, replica: str, reports: tuple[Report, ...]) -> tuple[Grant, ...]:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        return await super().exchange(replica, reports)


@dataclass
class Run:
    """One budget and those who spend from it."""

    replicas: int
    per_second: float
    """Queries at all replicas."""
    limit: int
    most: float
    """A query takes up to this much of what was reserved for it."""
    crashes: bool = False
    spent: int = 0
    served: int = 0
    refused: int = 0
    first_refusal: int = 0
    in_flight: int = 0
    at_once: int = 0
    rng: random.Random = field(default_factory=lambda: random.Random(7))

    async def query(self, leases: Leases) -> None:
        lease = leases.lease(BUDGET.model_copy(update={"limit": self.limit}), "")
        if not await leases.reserve(lease, RESERVED):
            self.refused += 1
            self.first_refusal = self.first_refusal or self.spent
            return
        window = lease.window
        self.in_flight += 1
        self.at_once = max(self.at_once, self.in_flight)
        await asyncio.sleep(self.rng.uniform(0.1, 0.5))
        actual = round(RESERVED * self.rng.uniform(0.2, self.most))
        lease.settle(window, RESERVED, actual)
        self.in_flight -= 1
        self.spent += actual
        self.served += 1

    async def play(self) -> None:
        far = Far(0.003)
        budget = BUDGET.model_copy(update={"limit": self.limit})
        living = [Leases(f"gateway-{index}", far) for index in range(self.replicas)]
        for leases in living:
            leases.use((budget,))
        tasks, began, number = [], time.monotonic(), 0
        while time.monotonic() - began < SECONDS:
            while number < (time.monotonic() - began) * self.per_second:
                number += 1
                tasks.append(asyncio.create_task(self.query(self.rng.choice(living))))
            if self.crashes and len(living) == self.replicas and time.monotonic() - began > 2.3:
                dead = living.pop()
                assert dead._loop is not None  # noqa: SLF001 - it crashes
                dead._loop.cancel()  # noqa: SLF001
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks)
        for leases in living:
            await leases.close()
        print(
            f"| {self.replicas} | {self.per_second:g}{', one crashes' if self.crashes else ''} |"
            f" {self.most:g} |"
            f" {100 * (self.spent / self.limit - 1):+.2f} % | {self.first_refusal / self.limit:.1%} |"
            f" {self.at_once} | {far.asked / SECONDS:.1f} | {self.served} / {self.refused} |"
        )


async def cost() -> None:
    counter = OwnCounter()
    leases = Leases("a", counter)
    lease = leases.lease(BUDGET.model_copy(update={"limit": 1e12}), "")
    lease.need = 10**9
    await leases._exchange()  # noqa: SLF001
    began, times = time.perf_counter(), 200_000
    for _ in range(times):
        await leases.reserve(lease, 1)
        lease.settle(lease.window, 1, 1)
    print(f"reserve and settle: {(time.perf_counter() - began) / times * 1e6:.2f} us")


async def main() -> None:
    await cost()
    columns = ["replicas", "queries/s", "takes at most", "beyond the limit", "first refusal at"]
    columns += ["in flight", "words/s", "served / refused"]
    print(f"| {' | '.join(columns)} |")
    print(f"{'|---' * len(columns)}|")
    for replicas, per_second in ((1, 100), (4, 200), (8, 400)):
        limit = int(per_second * RESERVED * 0.6 * 4)
        await Run(replicas, per_second, limit, most=1.0).play()
    await Run(8, 400, int(400 * RESERVED * 0.85 * 4), most=1.5).play()
    await Run(8, 400, int(400 * RESERVED * 0.6 * 4), most=1.0, crashes=True).play()
    await Run(8, 20, 20 * RESERVED * 2, most=1.0).play()


if __name__ == "__main__":
    asyncio.run(main())

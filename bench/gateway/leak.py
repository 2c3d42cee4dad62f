"""Whether the gateway keeps anything of 20,000 requests: `python -m bench.gateway.leak [COUNT]` prints memory
and connections.

A third of the requests stream, a tenth of the clients leave before their answer.
"""

from __future__ import annotations

import asyncio
import sys

import psutil
from bench.gateway.load import Target, ask, request
from bench.gateway.run import BUILDERS, ENVIRONMENTS, free_port, process

from folio_serving.http1 import connect

WARM_UP = 4000
AT_ONCE = 16
MAX_GROWTH_BYTES = 8 << 20


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    upstream = free_port()
    with (
        process([sys.executable, "-m", "bench.gateway.upstream", str(upstream)], upstream),
        BUILDERS["folio-alone"](upstream) as it,
    ):
        asyncio.run(load(it, min(WARM_UP, count // 2)))
        before = state(it)
        asyncio.run(load(it, count))
        after = state(it)
    for when, (size, connections) in (("before", before), (f"after {count} requests", after)):
        print(f"{when}: {size / 2**20:.1f} MiB, {connections} connections")
    grew = after[0] - before[0] > MAX_GROWTH_BYTES or after[1] > before[1] + 2
    print("it leaks" if grew else "flat")
    return int(grew)


def state(target: Target) -> tuple[int, int]:
    """Return resident bytes and open connections of the gateway's process."""
    process = target.processes[0]
    open_now = [one for one in process.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED]
    return process.memory_info().rss, len(open_now)


async def load(target: Target, count: int) -> None:
    await asyncio.gather(*(one_client(target, count // AT_ONCE) for _ in range(AT_ONCE)))
    await asyncio.sleep(1)


async def one_client(target: Target, count: int) -> None:
    whole, stream = (request(target, "what is my balance", stream=flag) for flag in (False, True))
    connection = await connect("127.0.0.1", target.port)
    for index in range(count):
        if index % 10 == 9:
            await leave(target, stream)
        else:
            await ask(connection, stream if index % 3 == 0 else whole)
    connection.close()


async def leave(target: Target, content: bytes) -> None:
    connection = await connect("127.0.0.1", target.port)
    await connection.ask(content)
    await connection.chunk()
    connection.close()


if __name__ == "__main__":
    sys.exit(main())

"""`make bench-operator`: one operator, hundreds of portfolios with three models each, a real API server.

python -m bench.operator [--sizes 50,100,250,500] [--edits 100] [--idle 60]

KubeRay is put to sleep meanwhile, and its part and the gateways' are played (fleet.py): what is measured
is the operator and the API server. The bare row is the floor: kopf and the same client applying the same
objects.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from bench.operator.api import connect
from bench.operator.figures import Figures, table
from bench.operator.measure import Bench, measure_bare, measure_folio
from bench.operator.stage import account, definitions, kuberay_asleep


def main() -> None:
    arguments = parsed()
    with tempfile.TemporaryDirectory(prefix="bench-operator-") as own:
        folder = arguments.logs or Path(own)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            rows = asyncio.run(stoppable(run(arguments, folder)))
        except asyncio.CancelledError:
            sys.exit("told to end; everything is put back")
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    day = dt.datetime.now(dt.UTC).date().isoformat()
    print(f"\n{day}, {platform.machine()}, {os.cpu_count()} CPUs, load {load}\n\n{table(rows)}")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes",
        default=[50, 100, 250, 500],
        type=lambda text: [int(each) for each in text.split(",")],
        help="portfolios, 50,100,250,500 unless told",
    )
    parser.add_argument("--edits", default=100, type=int, help="single edits of each size")
    parser.add_argument("--idle", default=60.0, type=float, help="seconds of idling that are counted")
    parser.add_argument("--skip", nargs="*", choices=("bare", "failover"), default=[], help="to save time")
    parser.add_argument("--logs", type=Path, help="folder for the operators' logs; else they go at the end")
    return parser.parse_args()


async def stoppable(work: Coroutine[Any, Any, list[Figures]]) -> list[Figures]:
    """Put everything back also when told to end: a cluster without KubeRay serves nobody."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


async def run(arguments: argparse.Namespace, folder: Path) -> list[Figures]:
    """Measure Folio at every size, and the floor at the largest."""
    api = await connect()
    bench = Bench(api, folder, folder / "kubeconfig", arguments.edits, arguments.idle)
    largest = max(arguments.sizes)
    try:
        async with kuberay_asleep(api), definitions(api), account(api, bench.kubeconfig):
            rows = [
                await measure_folio(
                    bench, size, failover=size == largest and "failover" not in arguments.skip
                )
                for size in arguments.sizes
            ]
            return rows if "bare" in arguments.skip else [*rows, await measure_bare(bench, largest)]
    finally:
        await api.session.close()

"""Takes one size's figures: starting, single edits, one policy, all, idling, failing over, deleting."""

from __future__ import annotations

import asyncio
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from bench.operator.api import Api
from bench.operator.figures import Figures
from bench.operator.fleet import POLICIES, Fleet, picked, portfolio_name
from bench.operator.stage import NAME, requests
from bench.operator.template import template
from tests.e2e.operator.process import OperatorProcess

PATIENCE_SECONDS = 300.0
QUIET_SECONDS = 4.0
RENEWALS_PER_MINUTE = 30.0
"""Of the Lease, one every 2 s."""
LEADER_RESYNC_SECONDS = "1000000"
"""No resync while something else is counted; the standby's comes soon, to be seen by itself."""
STANDBY_RESYNC_SECONDS = "15"
PASSES = 'folio_operator_reconcile_total{kind="ModelPortfolio"'
OWN_REQUESTS = re.compile(r"^folio_operator_api_requests_total{(\S+)} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Bench:
    """What all sizes share."""

    api: Api
    folder: Path
    kubeconfig: Path
    edits: int
    idle_seconds: float

    @property
    def template(self) -> Path:
        """What Folio made of one portfolio, for the bare loop to apply."""
        return self.folder / "template.json"

    @asynccontextmanager
    async def fleet(self, name: str, size: int) -> AsyncIterator[Fleet]:
        fleet = Fleet(self.api, f"{NAME}-{name}", size)
        began = time.monotonic()
        await fleet.write()
        say(f"{name}: {size} portfolios written in {time.monotonic() - began:.1f} s")
        fleet.start()
        try:
            yield fleet
        finally:
            fleet.stop()
            await self.api.remove(f"/api/v1/namespaces/{fleet.namespace}")

    def operator(self, gateways: str, name: str, resync: str) -> OperatorProcess:
        settings = {
            "KUBECONFIG": str(self.kubeconfig),
            "FOLIO_WATCH_NAMESPACE": "",
            "FOLIO_RESYNC_SECONDS": resync,
        }
        return OperatorProcess(NAME, gateways, self.folder, name, settings)


@dataclass
class Taken:
    """Figures on their way, and the process that they are of."""

    process: psutil.Process
    began: float
    found: dict[str, Any] = field(default_factory=dict)

    def cpu(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> None:
        self.found["rss_mib"] = self.process.memory_info().rss / 2**20
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak
        self.found["peak_mib"] = int(peak[1]) / 1024


async def measure_folio(bench: Bench, size: int, *, failover: bool) -> Figures:
    async with bench.fleet(str(size), size) as fleet:
        runner, gateways = await fleet.serve_gateways()
        before = await requests(bench.api)
        began = time.monotonic()
        operator = bench.operator(gateways, f"folio-{size}", LEADER_RESYNC_SECONDS)
        try:
            taken = Taken(psutil.Process(operator.process.pid), began)
            await _start(bench, fleet, taken, before)
            taken.found["passes"] = await asyncio.to_thread(operator.metric, PASSES) / size
            await _rest(fleet)
            await _quiet(operator)
            bench.template.write_text(await template(fleet))
            edited = await _edit(bench, fleet, taken)
            await _rest(fleet)
            confirmed = [fleet.seen[name].rested_at - began for name, began in edited.items()]
            taken.found["confirmed"] = tuple(confirmed)
            await _policy(fleet, taken)
            await _rest(fleet)
            await _burst(fleet, taken)
            await _rest(fleet)
            await _quiet(operator)
            await _idle(bench, fleet, operator, taken)
            taken.memory()
            if failover:
                operator = await _failover(bench, fleet, operator, gateways)
            await _delete(fleet, taken)
        finally:
            if operator.process.poll() is None:
                await asyncio.to_thread(operator.stop)
            await runner.cleanup()
    return Figures("Folio", size, **taken.found)


async def measure_bare(bench: Bench, size: int) -> Figures:
    async with bench.fleet(f"bare-{size}", size) as fleet:
        before, began = await requests(bench.api), time.monotonic()
        command = [sys.executable, "-m", "bench.operator.bare", str(bench.template)]
        with (bench.folder / "bare.log").open("w") as log:
            environment = {**os.environ, "KUBECONFIG": str(bench.kubeconfig)}
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            taken = Taken(psutil.Process(process.pid), began)
            await _start(bench, fleet, taken, before)
            await asyncio.sleep(QUIET_SECONDS)
            await _edit(bench, fleet, taken)
            await _burst(fleet, taken)
            taken.memory()
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait)
    del taken.found["programmed_seconds"]
    return Figures("bare kopf loop", size, programmed_seconds=None, **taken.found)


async def _start(bench: Bench, fleet: Fleet, taken: Taken, before: int) -> None:
    size = fleet.size
    await fleet.until("status", PATIENCE_SECONDS, lambda: fleet.count(lambda each: each.status_at), size)
    status = max(each.status_at for each in fleet.seen.values()) - taken.began
    say(f"all have status after {status:.1f} s")
    await fleet.until(
        "Programmed", PATIENCE_SECONDS, lambda: fleet.count(lambda each: each.programmed_at), size
    )
    programmed = max(each.programmed_at for each in fleet.seen.values()) - taken.began
    sent, cpu = await requests(bench.api) - before, taken.cpu()
    taken.found |= {
        "status_seconds": status,
        "programmed_seconds": programmed,
        "start_requests": sent / size,
        "start_cpu": cpu,
        "load": os.getloadavg()[0],
    }
    say(
        f"all Programmed after {programmed:.1f} s; {sent / size:.1f} requests, {cpu / size:.3f} s of CPU each"
    )


async def _edit(bench: Bench, fleet: Fleet, taken: Taken) -> dict[str, float]:
    """Edit one portfolio after another; return when each was edited last."""
    seconds, edited = [], {}
    for name in picked(fleet, bench.edits):
        edited[name] = began = time.monotonic()
        await fleet.edit(name)
        await fleet.revised([name], began)
        seconds.append(fleet.seen[name].revised_at - began)
    taken.found["edits"] = tuple(seconds)
    say(f"{len(seconds)} single edits, the slowest {max(seconds):.2f} s")
    return edited


async def _policy(fleet: Fleet, taken: Taken) -> None:
    began = time.monotonic()
    await fleet.edit_policy("policy-0", 31)
    names = [portfolio_name(number) for number in range(0, fleet.size, POLICIES)]
    await fleet.revised(names, began)
    taken.found["policy_seconds"] = max(fleet.seen[name].revised_at for name in names) - began
    say(f"a policy's edit reached {len(names)} RayServices in {taken.found['policy_seconds']:.2f} s")


async def _burst(fleet: Fleet, taken: Taken) -> None:
    began, cpu = time.monotonic(), taken.cpu()
    await fleet.edit_all()
    await fleet.revised(fleet.names, began)
    took = max(each.revised_at for each in fleet.seen.values()) - began
    taken.found["burst_seconds"] = took
    say(f"an edit of all reached their RayServices in {took:.1f} s, {taken.cpu() - cpu:.1f} s of CPU")


async def _idle(bench: Bench, fleet: Fleet, operator: OperatorProcess, taken: Taken) -> None:
    before, sent, cpu, polls = await _own(operator), await requests(bench.api), taken.cpu(), fleet.polls
    began = time.monotonic()
    await asyncio.sleep(bench.idle_seconds)
    took = time.monotonic() - began
    after, total = await _own(operator), await requests(bench.api) - sent
    own = {labels: int(after[labels] - before.get(labels, 0)) for labels in after}
    told = ", ".join(f"{count} {labels}" for labels, count in own.items() if count) or "none"
    renewals = math.ceil(RENEWALS_PER_MINUTE * took / 60)
    taken.found["idle_requests"] = max(0.0, total - renewals) * 60 / took
    taken.found["idle_cpu"] = 1000 * (taken.cpu() - cpu) / took
    say(
        f"idle for {took:.0f} s: {total} requests, {renewals:.0f} of them the Lease's; its own count:"
        f" {told}; {(fleet.polls - polls) * 60 / took:.0f} questions to gateways a minute"
    )


async def _failover(bench: Bench, fleet: Fleet, first: OperatorProcess, gateways: str) -> OperatorProcess:
    """Kill the leader; return the one that follows."""
    standby = bench.operator(gateways, "standby", STANDBY_RESYNC_SECONDS)
    await _wait("the standby is ready", lambda: asyncio.to_thread(_is_ready, standby))
    await asyncio.sleep(3)
    began = time.monotonic()
    first.stop(signal.SIGKILL)
    await _wait("the standby leads", lambda: asyncio.to_thread(standby.is_leader))
    leads = time.monotonic() - began
    await _wait("all had a pass", lambda: _at_least(standby, PASSES, fleet.size))
    took = time.monotonic() - began
    await _quiet(standby)
    say(
        f"kill -9: the next leads after {leads:.1f} s, has passed over all after {took:.1f} s,"
        f" {await asyncio.to_thread(standby.writes):.0f} writes"
    )
    taken = Taken(psutil.Process(standby.process.pid), began)
    taken.memory()
    alone, before = taken.found["peak_mib"], taken.cpu()
    await asyncio.sleep(90)
    taken.memory()
    say(
        f"resyncs: peak {alone:.0f} MiB without, {taken.found['peak_mib']:.0f} MiB with;"
        f" {taken.cpu() - before:.1f} s of CPU in 90 s"
    )
    return standby


async def _delete(fleet: Fleet, taken: Taken) -> None:
    began = time.monotonic()
    await fleet.delete_portfolios()
    await fleet.until("deleted", PATIENCE_SECONDS, lambda: fleet.size - len(fleet.seen), fleet.size)
    taken.found["delete_seconds"] = time.monotonic() - began
    say(f"all deleted after {taken.found['delete_seconds']:.1f} s")


async def _rest(fleet: Fleet) -> None:
    await fleet.until("at rest", PATIENCE_SECONDS, lambda: fleet.count(lambda each: each.rests), fleet.size)


async def _quiet(operator: OperatorProcess) -> None:
    """Wait until the operator has asked for nothing for a while."""
    while True:
        before = await _own(operator)
        await asyncio.sleep(QUIET_SECONDS)
        if await _own(operator) == before:
            return


async def _own(operator: OperatorProcess) -> dict[str, float]:
    """Return what the operator counts itself: labels -> requests."""
    page = await asyncio.to_thread(operator.ask, "/metrics")
    return {labels: float(count) for labels, count in OWN_REQUESTS.findall(page)}


async def _at_least(operator: OperatorProcess, metric: str, count: int) -> bool:
    return await asyncio.to_thread(operator.metric, metric) >= count


async def _wait(what: str, condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {PATIENCE_SECONDS:.0f} s")
        await asyncio.sleep(0.05)


def _is_ready(operator: OperatorProcess) -> bool:
    try:
        return operator.ask("/readyz") == "ready\n"
    except OSError:
        return False


def say(text: str) -> None:
    print(f"  {text}", flush=True)

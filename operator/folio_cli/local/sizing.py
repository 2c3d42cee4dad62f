"""Whether a portfolio fits on this machine, and how many CPUs Ray is told that there are."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import psutil

from folio_operator import effective
from folio_operator.serve_config import GATEWAY_CPUS
from folio_operator.world import Member, Portfolio

GIB = 2**30
SPARE_CPUS = 16
"""Room for models that are added later: on one machine CPU requests order the queue, they reserve nothing."""
RAY_GIB, GATEWAY_GIB, LIGHT_GIB, ENGINE_GIB = 1.5, 0.3, 0.4, 1.6
"""What each takes at rest, as measured; an engine's weights and cache come on top."""
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
CGROUP_USAGE = Path("/sys/fs/cgroup/memory.current")


@dataclass(frozen=True)
class Machine:
    """What this machine has left."""

    available_gib: float
    gpus: int


def this_machine() -> Machine:
    return Machine(min(psutil.virtual_memory().available / GIB, *_cgroup_gib()), _gpus())


def logical_cpus(portfolio: Portfolio) -> int:
    """Return the CPUs that Ray schedules by: every replica at its most, one surge, and room for more."""
    gateway = portfolio.resource.spec.gateway.ceiling * GATEWAY_CPUS
    models = sum(
        2 * effective.cpus(member) * (member.entry.scaling.ceiling + 1)
        for member in portfolio.members
        if effective.has_own_application(member)
    )
    return ceil(2 * gateway + models) + SPARE_CPUS


def obstacles(portfolio: Portfolio, machine: Machine) -> list[str]:
    """Return a line for each thing that this machine lacks."""
    return [*_missing_gpus(portfolio, machine), *_missing_memory(portfolio, machine)]


def needed_gib(portfolio: Portfolio) -> float:
    """Return about how much memory it takes with every model at its minReplicas."""
    gateway = GATEWAY_GIB * portfolio.resource.spec.gateway.min_replicas
    return RAY_GIB + gateway + sum(_member_gib(member) for member in portfolio.members)


def _member_gib(member: Member) -> float:
    replicas = member.entry.scaling.min_replicas
    vllm = member.model.spec.vllm
    if vllm is not None:
        asked = float(vllm.resources.memory.value) / GIB if vllm.resources.memory else 0.0
        return replicas * max(asked, ENGINE_GIB)
    return replicas * LIGHT_GIB if effective.has_own_application(member) else 0.0


def _missing_memory(portfolio: Portfolio, machine: Machine) -> Iterator[str]:
    needed = needed_gib(portfolio)
    if needed > machine.available_gib:
        yield (
            f"about {needed:.1f} GiB of memory are needed, {machine.available_gib:.1f} are free: close"
            " something,"
            " serve fewer models, or add --skip-memory-check"
        )


def _missing_gpus(portfolio: Portfolio, machine: Machine) -> Iterator[str]:
    for member in portfolio.members:
        wanted = effective.gpus(member)
        if wanted > machine.gpus:
            field = f"SpecialistModel/{member.entry.specialist} spec.vllm.gpus"
            yield f"{field}: {wanted} wanted, there are {machine.gpus}: write gpus: 0 to run on the CPU"


def _cgroup_gib() -> Iterator[float]:
    """What a container may still take, where there is a limit."""
    yield float("inf")
    try:
        limit, usage = CGROUP_LIMIT.read_text().strip(), CGROUP_USAGE.read_text().strip()
        yield (int(limit) - int(usage)) / GIB
    except (OSError, ValueError):
        return


def _gpus() -> int:
    """Return the GPUs that vLLM could use here."""
    if shutil.which("nvidia-smi") is None:
        return 0
    return sum(1 for _ in Path("/dev").glob("nvidia[0-9]*"))

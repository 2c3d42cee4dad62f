"""CPU time of a model's processes, read from the kernel: what a model really took, whatever it declares."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
COMPANIONS = {"handbook": ("model-handbook", "model-minilm"), "desk-l": ("model-general",)}
"""Who works for a model: the handbook has its questions embedded, an adapter runs in its base's engine."""


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    title: str
    cpu_seconds: float


def model_cpu_seconds(model: str) -> float:
    """Return the user and system time so far of a model's replicas and of their children."""
    processes = {process.pid: process for process in running()}
    applications = COMPANIONS.get(model, (f"model-{model}",))
    roots = {p.pid for p in processes.values() if any(f":{name}:" in f"{p.title}:" for name in applications)}
    return sum(process.cpu_seconds for process in descendants(processes.values(), roots))


def descendants(processes: Iterable[Process], roots: set[int]) -> list[Process]:
    """Return the roots and everything below them."""
    listed, found = list(processes), set(roots)
    while more := {process.pid for process in listed if process.parent in found} - found:
        found |= more
    return [process for process in listed if process.pid in found]


def running() -> list[Process]:
    found = (_process(folder) for folder in Path("/proc").iterdir() if folder.name.isdigit())
    return [process for process in found if process is not None]


def _process(folder: Path) -> Process | None:
    try:
        title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None  # it ended between the listing and the reading
    own = int(fields[11]) + int(fields[12])
    return Process(int(folder.name), int(fields[1]), title, own / TICKS_PER_SECOND)

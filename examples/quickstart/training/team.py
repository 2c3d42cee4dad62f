"""Processes of one core each that average their gradients.

Threads of one process meet at the end of every operation, so on a busy machine each waits for the slowest;
these meet once a step.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor


@dataclass(frozen=True)
class Team:
    rank: int = 0
    size: int = 1

    def average(self, gradients: Sequence[Tensor], elapsed_seconds: float) -> float:
        """Average the gradients in place; return the mean time, so that all workers stop at the same step."""
        if self.size == 1:
            return elapsed_seconds
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), torch.tensor([elapsed_seconds])])
        dist.all_reduce(flat)
        flat /= self.size
        for gradient, mean in zip(gradients, flat[:-1].split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))
        return float(flat[-1])


def as_team(work: Callable[[Team], None], size: int) -> None:
    if size == 1:
        torch.set_num_threads(1)
        work(Team())
        return
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    with tempfile.TemporaryDirectory() as meeting:
        mp.spawn(_member, (work, size, f"file://{meeting}/gloo"), nprocs=size)


def _member(rank: int, work: Callable[[Team], None], size: int, meeting: str) -> None:
    os.setsid()  # a scheduling group of its own: the kernel shares the cores among sessions, not processes
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
    work(Team(rank, size))
    dist.destroy_process_group()

"""A random walk over edits, restarts, losses and traffic: whatever comes in whatever order, a policy that fails is never
what serves, and a pass with nothing new writes nothing."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.unit.operator.desk import FRONTIER, GENERAL, POLICY, PORTFOLIO
from tests.unit.operator.shell import DESK, Shell

from folio_api.table import Trial
from folio_operator import cluster as kinds
from folio_operator.serve_config import GATEWAY

CANARY = {"percent": 10, "duration": "30m", "abortOn": {"maxErrorRate": "0.02"}}
DEADLINES = {20: "good", 21: "good", 25: "bad", 27: "bad"}
ACTS = ("policy", "policy", "capacity", "external", "weights", "break", "restart", "silence", "lose", "wait")
STEPS = 30


@dataclass
class Walk:
    """What people have written, and what has come of it."""

    shell: Shell
    dice: random.Random
    deadline: int = 20
    edits: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_broken: bool = False
    seen: Counter[str] = field(default_factory=Counter)

    def write(self) -> None:
        policy: dict[str, Any] = {"limits.deadline": f"{self.deadline}s"}
        if self.is_broken:
            policy["defaultLadder.0.model"] = "ghost"
        capacity = {"rollout.canary": CANARY, **self.edits.get(PORTFOLIO, {})}
        self.shell.write({**self.edits, POLICY: policy, PORTFOLIO: capacity})

    async def act(self, what: str) -> None:
        dice, shell = self.dice, self.shell
        if what == "policy":
            self.deadline, self.is_broken = dice.choice(list(DEADLINES)), False
        elif what == "capacity":
            self.edits[PORTFOLIO] = {"models.0.scaling.maxReplicas": dice.choice([3, 4, 5])}
        elif what == "external":
            self.edits[FRONTIER] = {"contextTokens": dice.choice([8000, 9000])}
        elif what == "weights":
            self.edits[GENERAL] = {"vllm.engineArgs.max_model_len": dice.choice([2048, 4096])}
        elif what == "break":
            self.is_broken = True
        else:
            await self._befall(what)
            return
        shell.clock.seconds += 1
        self.write()

    async def _befall(self, what: str) -> None:
        shell = self.shell
        if what == "restart":
            shell.start()
        elif what == "silence":
            shell.gateways.answer = None
        elif what == "lose":
            shell.cluster.remove(kinds.RAY_SERVICE, DESK)
            await shell.pass_over()
            shell.serve_runs(GATEWAY)
        else:
            shell.clock.seconds += self.dice.choice([10, 600, 2000])

    def traffic(self) -> None:
        """All comes up, and some requests meet the candidate."""
        shell = self.shell
        shell.everything_runs()
        candidate = shell.tables().get("candidate")
        if candidate is None or shell.gateways.answer is None:
            return
        requests = self.dice.choice([0, 5, 100])
        errors = requests if DEADLINES[int(candidate["limits"]["deadline_seconds"])] == "bad" else 0
        trial = Trial(revision=candidate["revision"], requests=requests, errors=errors)
        told = {"candidate": candidate["revision"], "trials": (trial,)}
        replicas = tuple(each.model_copy(update=told) for each in shell.gateways.answer.replicas)
        shell.gateways.answer = shell.gateways.answer.model_copy(update={"replicas": replicas})

    async def settle(self) -> None:
        for _ in range(5):
            await self.shell.pass_over()
        self.shell.cluster.writes.clear()
        await self.shell.pass_over()

    def check(self) -> None:
        shell, tables = self.shell, self.shell.tables()
        active = int(tables["active"]["limits"]["deadline_seconds"])
        assert shell.cluster.writes == []
        assert DEADLINES[active] == "good"
        assert not (self.is_broken and "candidate" in tables)
        status, reason = shell.condition("Programmed")
        if status == "True" and not self.is_broken:
            assert active == self.deadline
        self.seen[reason] += 1


@pytest.mark.parametrize("seed", [1, 4])
async def test_a_policy_that_fails_never_serves_and_idle_passes_write_nothing(
    shell: Shell, seed: int
) -> None:
    walk = Walk(shell.with_key(), random.Random(seed))
    walk.write()
    await shell.settle_running()
    for _ in range(STEPS):
        await walk.act(walk.dice.choice(ACTS))
        if walk.dice.random() < 0.6:
            walk.traffic()
        await walk.settle()
        walk.check()
    assert {"Canary", "CanaryRejected", "Confirmed"} <= set(walk.seen), walk.seen

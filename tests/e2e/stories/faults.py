"""What can befall a portfolio's pods, and what is to be seen of them meanwhile."""

from __future__ import annotations

import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kubernetes import client
from tests.e2e.stories.load import Load
from tests.e2e.stories.release import CommandError, run
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

QUESTION = "my bicycle"
BACK_SECONDS = 240
SETTLED_SECONDS = 3
TIMEOUT_SECONDS = 10.0
PATIENT: dict[str, Any] = {"clients": 40, "per_second": 20, "timeout": TIMEOUT_SECONDS}
"""A load of many clients, so that those who wait for what is dead do not keep the others from asking."""
GATEWAY, COUNTER = "^ray::ServeReplica:gateway:", "^ray::BookKeeper"
"""What Ray calls the processes of a gateway's replica and of the budgets' counter."""

Containers = set[tuple[str, int]]
"""Uids of pods, and how often their containers were restarted."""


@dataclass(frozen=True)
class Faults:
    """Of the portfolios of one story."""

    story: Story

    def gateways(self, portfolio: str) -> dict[str, int]:
        """Return how many gateway replicas run in each of the portfolio's gateway pods."""
        pods = [each for each in self.story.pods(portfolio, "gateway") if _runs(each)]
        return {name: self._count(name, GATEWAY) for name in (each["metadata"]["name"] for each in pods)}

    def wait_apart(self, portfolio: str) -> None:
        """Wait until two gateway replicas run, each in a pod of its own."""
        wait_for(
            "two gateway replicas in two pods",
            lambda: self._are_apart(portfolio),
            BACK_SECONDS,
        )

    def counters(self, portfolio: str) -> dict[str, str]:
        """Return the pods in which the counter of the portfolio's budgets runs, each with its role."""
        found = {each["metadata"]["name"]: each for each in self.story.pods(portfolio) if _runs(each)}
        return {
            name: each["metadata"]["labels"]["folio.dev/role"]
            for name, each in found.items()
            if self._count(name, COUNTER)
        }

    def crash(self, pod: str) -> None:
        """Kill all processes of a pod, and with them its container."""
        with suppress(CommandError, subprocess.TimeoutExpired):  # the connection ends with it
            self.inside(pod, "kill -9 -1")

    def destroy(self, *pods: dict[str, Any]) -> None:
        """Delete pods without any grace."""
        core = client.CoreV1Api(self.story.namespace.api)
        for each in pods:
            name = each["metadata"]["name"]
            core.delete_namespaced_pod(name, self.story.namespace.name, grace_period_seconds=0)

    def used(self, portfolio: str) -> float:
        """Return how many requests the budget's counter knows of; 0 while it does not answer."""
        told = self.story.client.http(f"{self.story.client.url(portfolio)}/metrics", timeout=5).text
        found = re.search(r'^folio_budget_used\{[^}]*budget="ceiling"[^}]*\} (\S+)$', told, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def wait_back(self, portfolio: str) -> None:
        answer = self.story.client.chat(portfolio, QUESTION, seconds=BACK_SECONDS, timeout=5)
        assert answer.status == 200, answer.text

    def wait_other(self, portfolio: str, role: str, before: Containers) -> None:
        """Wait until none of these containers runs any more, and others do."""

        def others() -> bool:
            now = self.containers(portfolio, role)
            return len(now) >= len(before) and not now & before

        wait_for(f"{portfolio} has another {role}", others, BACK_SECONDS)

    def containers(self, portfolio: str, role: str) -> Containers:
        """Return the portfolio's containers of that role that run."""
        return {
            (each["metadata"]["uid"], sum(one["restartCount"] for one in each["status"]["containerStatuses"]))
            for each in self.story.pods(portfolio, role)
            if _runs(each)
        }

    def pods(self, *portfolios: str) -> set[str]:
        """Return the uids of all pods of Ray, to know whether one was replaced."""
        return {each["metadata"]["uid"] for name in portfolios for each in self.story.pods(name)}

    def inside(self, pod: str, script: str) -> str:
        """Run a script of bash in a pod."""
        command = ("kubectl", "exec", "-n", self.story.namespace.name, pod, "--", "bash", "-c", script)
        return run(*command, seconds=20).strip()

    def _are_apart(self, portfolio: str) -> bool:
        with suppress(CommandError, subprocess.TimeoutExpired):  # a pod may be going or coming
            return list(self.gateways(portfolio).values()) == [1, 1]
        return False

    def _count(self, pod: str, process: str) -> int:
        """Return how many such processes run there; raise where nobody can say, after a second try: connections break."""
        lines = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'"
        script = f"{lines} | grep -ac '{process}' || true"
        with suppress(CommandError):
            return int(self.inside(pod, script))
        return int(self.inside(pod, script))


def outage(load: Load) -> str:
    return f"{load.figure()}, at most {load.silence_seconds:.1f} s without an answer"


def shares(load: Load) -> str:
    return ", ".join(f"{count} by {model}" for model, count in sorted(load.models.items()))


def _runs(pod: dict[str, Any]) -> bool:
    status = pod.get("status", {})
    return (
        status.get("phase") == "Running"
        and "deletionTimestamp" not in pod["metadata"]
        and all("running" in each["state"] for each in status.get("containerStatuses", ()))
    )

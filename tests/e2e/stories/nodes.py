"""A node that a story switches off and on again, by the program that FOLIO_E2E_NODE names."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from typing import Any

from kubernetes import client
from tests.e2e.stories.release import run

PROGRAM = "FOLIO_E2E_NODE"
HOW = (
    f"no means to switch a node off: set {PROGRAM} to a command with {{verb}}, which becomes kill or start, and"
    " {node}, the node's name, or {number}, the one that it ends in; with kind: 'docker {verb} {node}'"
)
HOSTNAME = "kubernetes.io/hostname"
SWITCH_SECONDS = 90
CLEAR_SECONDS = 90
FORBIDDING = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Node:
    """One that pods run on, and that can be lost."""

    api: client.ApiClient
    name: str
    program: str

    def kill(self) -> None:
        """Switch it off, as a power cut would."""
        self._switch("kill")

    def start(self) -> None:
        """Switch it on; nothing happens where it is on."""
        self._switch("start")

    def clear(self) -> None:
        """Send away all that stands there, and let nothing come until it is opened.

        What is lost with it shall be the story's: no DNS, no KubeRay, no operator, nobody who asks.
        """
        how = ("--ignore-daemonsets", "--delete-emptydir-data", "--disable-eviction", "--force")
        patience = (f"--timeout={CLEAR_SECONDS}s", "--grace-period=5")
        run("kubectl", "drain", self.name, *how, *patience)

    def open(self) -> None:
        run("kubectl", "uncordon", self.name)

    def is_ready(self) -> bool:
        return _is_ready(client.CoreV1Api(self.api).read_node(self.name))

    def only(self) -> dict[str, Any]:
        """Return the affinity of a pod that stands here."""
        return self._affinity("In")

    def elsewhere(self) -> dict[str, Any]:
        """Return the affinity of a pod that stands on any other node."""
        return self._affinity("NotIn")

    def _affinity(self, operator: str) -> dict[str, Any]:
        labels = client.CoreV1Api(self.api).read_node(self.name).metadata.labels
        expression = {"key": HOSTNAME, "operator": operator, "values": [labels[HOSTNAME]]}
        terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
        return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}

    def _switch(self, verb: str) -> None:
        run(*command(self.program, verb, self.name), seconds=SWITCH_SECONDS)


def command(program: str, verb: str, node: str) -> list[str]:
    """Return the words of the command that switches a node."""
    number = re.search(r"\d*$", node)
    assert number is not None
    places = {"{verb}": verb, "{node}": node, "{number}": number[0]}
    words = shlex.split(program)
    for place, value in places.items():
        words = [word.replace(place, value) for word in words]
    return words


def one_to_lose(api: client.ApiClient) -> Node | None:
    """Return the last of the nodes that take pods; None where nobody said how to switch it, or it is the only one."""
    program = os.environ.get(PROGRAM, "")
    found = [each for each in client.CoreV1Api(api).list_node().items if _takes_pods(each)]
    names = sorted(each.metadata.name for each in found)
    return Node(api, names[-1], program) if program and len(names) > 1 else None


def _takes_pods(node: Any) -> bool:
    taints = node.spec.taints or ()
    return _is_ready(node) and not any(taint.effect in FORBIDDING for taint in taints)


def _is_ready(node: Any) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in node.status.conditions)

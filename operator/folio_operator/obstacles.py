"""What keeps a portfolio's pods from running: told from the pods themselves, each with what puts it right.

Nothing here is remembered but the deaths of pods: KubeRay removes a dead pod at once, and with it the cause.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from folio_api.meta import Key
from folio_operator import effective
from folio_operator.children import PORTFOLIO_LABEL, ROLE_LABEL
from folio_operator.cluster import Body, key_of
from folio_operator.kuberay import age_seconds

HEAD = "head"
DEATH_SECONDS = 120.0
"""For so long the death of a pod is told, unless the next one dies too."""
HEAD_SECONDS = 180.0
"""A head that is not ready by then does not start by itself."""
NO_IMAGE = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
)
NO_CONTAINER = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
KEPT_SPEC = ("nodeName",)
KEPT_CONTAINER = ("name", "resources")


@dataclass(frozen=True)
class Obstacle:
    """Why pods of one role do not run."""

    role: str
    """head, gateway, or the name of a pool behind `pool-`."""
    reason: str
    message: str


@dataclass(frozen=True)
class Gpus:
    """GPUs of a portfolio's pods."""

    requested: int = 0
    allocated: int = 0
    """Those of pods that have a node."""


@dataclass
class Deaths:
    """The last death in each role of each portfolio; lost at a restart, told again by the next one."""

    _last: dict[tuple[Key, str], tuple[Obstacle, float]] = field(default_factory=dict)

    def note(self, pod: Body, now: float) -> None:
        """Look at a pod as an event shows it, perhaps for the last time."""
        obstacle = _death(pod)
        if obstacle is not None:
            self._last[_portfolio_of(pod), obstacle.role] = (obstacle, now + DEATH_SECONDS)

    def recent(self, portfolio: Key, now: float) -> tuple[Obstacle, ...]:
        self._last = {key: each for key, each in self._last.items() if each[1] > now}
        return tuple(obstacle for (key, _), (obstacle, _) in self._last.items() if key == portfolio)

    def seconds_until_over(self, portfolio: Key, now: float) -> float | None:
        return min(
            (until - now for (key, _), (_, until) in self._last.items() if key == portfolio), default=None
        )


def slim(pod: Body) -> Body:
    """Return what is looked at of a pod: there are many, and most of each is of no interest."""
    spec = {name: pod["spec"][name] for name in KEPT_SPEC if name in pod["spec"]}
    whole = pod["spec"].get("containers") or ()
    containers = [{name: each[name] for name in KEPT_CONTAINER if name in each} for each in whole]
    return {**pod, "spec": {**spec, "containers": containers}}


def obstacles(pods: Sequence[Body], clusters: Iterable[Body], now: datetime) -> tuple[Obstacle, ...]:
    """Return what is in the way now, of each role at most one thing, the head's first."""
    present = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    found = [*_refused(clusters), *_unschedulable(present), *(o for pod in present for o in _waiting(pod))]
    found += _late_head(present, now)
    first = {each.role: each for each in reversed(found)}
    return tuple(sorted(first.values(), key=lambda each: (each.role != HEAD, each.role)))


def gpus(pods: Iterable[Body]) -> Gpus:
    present = [
        pod for pod in pods if not pod["metadata"].get("deletionTimestamp") and _phase(pod) != "Failed"
    ]
    allocated = sum(_gpus(pod) for pod in present if pod["spec"].get("nodeName"))
    return Gpus(sum(map(_gpus, present)), allocated)


def _refused(clusters: Iterable[Body]) -> Iterator[Obstacle]:
    """Pods that the API server does not take are in no list; KubeRay says so on the RayCluster."""
    for cluster in clusters:
        for condition in (cluster.get("status") or {}).get("conditions") or ():
            if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
                fix = "a quota, a limit range or Pod Security keeps them out: raise it, or change podTemplate"
                yield Obstacle(HEAD, "PodsRefused", f"{condition.get('message', '')}; {fix}")


def _unschedulable(pods: Iterable[Body]) -> Iterator[Obstacle]:
    waiting: dict[str, list[tuple[Body, str]]] = defaultdict(list)
    for pod in pods:
        for condition in _status(pod).get("conditions") or ():
            if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
                waiting[_role(pod)].append((pod, condition.get("message", "")))
    for role, found in waiting.items():
        missing = sum(_gpus(pod) for pod, _ in found)
        short = f", {missing} GPU{'s are' if missing > 1 else ' is'} missing" if missing else ""
        many = (
            f"{len(found)} pods of {_named(role)} find"
            if len(found) > 1
            else f"a pod of {_named(role)} finds"
        )
        why = found[0][1]
        yield Obstacle(role, "Unschedulable", f"{many} no node{short}: {why}; {_fix(why)}")


def _fix(scheduler: str) -> str:
    """Return what is to be done about what the scheduler says: a claim is not found on any node."""
    if "persistentvolumeclaim" in scheduler.lower():
        return "make the PersistentVolumeClaim in this namespace, have it bound, or correct volumes"
    return "add nodes that fit, or ask for less (maxWorkers, minReplicas, resources, podTemplate)"


def _waiting(pod: Body) -> Iterator[Obstacle]:
    """What the kubelet waits for, and tries again by itself."""
    role = _role(pod)
    for container in _containers(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in NO_IMAGE:
            told = f"image {container.get('image', '')} of {_named(role)} cannot be pulled: {message}"
            fix = (
                "correct spec.ray.image, the pool's image or the chart's servingImage, or name"
                " imagePullSecrets in podTemplate"
            )
            yield Obstacle(role, "ImagePullBackOff", f"{told}; {fix}")
        elif reason in NO_CONTAINER:
            fix = "make the Secret or ConfigMap that it says is missing, or correct podTemplate"
            yield Obstacle(role, reason, f"{_named(role)}: {message}; {fix}")
        elif reason == "CrashLoopBackOff":
            last = (container.get("lastState") or {}).get("terminated") or {}
            yield _ended(role, container, last, pod)


def _death(pod: Body) -> Obstacle | None:
    """Return why a pod died, if it did not end because it was told to."""
    leaving = pod["metadata"].get("deletionTimestamp")
    for container in _containers(pod):
        ended = (container.get("state") or {}).get("terminated") or {}
        killed = ended.get("reason") == "OOMKilled"
        if killed or (ended.get("exitCode", 0) != 0 and not leaving):
            return _ended(_role(pod), container, ended, pod)
    return None


def _ended(role: str, container: Mapping[str, Any], ended: Mapping[str, Any], pod: Body) -> Obstacle:
    name = container.get("name", "")
    if ended.get("reason") == "OOMKilled":
        limits = _resources(pod, name).get("limits") or {}
        limit = f" of {limits['memory']}" if "memory" in limits else ""
        fix = "raise resources.limits.memory, or let it hold less"
        return Obstacle(
            role, "OOMKilled", f"container {name} of {_named(role)} went over its memory limit{limit}: {fix}"
        )
    code = ended.get("exitCode", "?")
    log = f"kubectl logs --previous {key_of(pod).name} -c {name} says why"
    return Obstacle(role, "CrashLoop", f"container {name} of {_named(role)} ended with {code}: {log}")


def _late_head(pods: Iterable[Body], now: datetime) -> Iterator[Obstacle]:
    for pod in pods:
        ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in _conditions(pod))
        late = age_seconds(pod, "creationTimestamp", now)
        if _role(pod) == HEAD and not ready and late > HEAD_SECONDS:
            message = (
                f"the head's pod {key_of(pod).name} is not ready after {HEAD_SECONDS:.0f} s: its log says why"
            )
            yield Obstacle(HEAD, "HeadNotStarting", message)


def _named(role: str) -> str:
    if role.startswith("pool-"):
        return f"pool {role.removeprefix('pool-')}"
    return f"the {role}"


def _role(pod: Body) -> str:
    return str((pod["metadata"].get("labels") or {}).get(ROLE_LABEL, ""))


def _portfolio_of(pod: Body) -> Key:
    return Key(key_of(pod).namespace, (pod["metadata"].get("labels") or {}).get(PORTFOLIO_LABEL, ""))


def _status(pod: Body) -> Mapping[str, Any]:
    return pod.get("status") or {}


def _phase(pod: Body) -> str:
    return str(_status(pod).get("phase", ""))


def _conditions(pod: Body) -> Sequence[Mapping[str, Any]]:
    return _status(pod).get("conditions") or ()


def _containers(pod: Body) -> list[Mapping[str, Any]]:
    status = _status(pod)
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _resources(pod: Body, container: str) -> Mapping[str, Any]:
    return next(
        (each.get("resources") or {} for each in pod["spec"]["containers"] if each["name"] == container), {}
    )


def _gpus(pod: Body) -> int:
    limits = [(each.get("resources") or {}).get("limits") or {} for each in pod["spec"]["containers"]]
    return sum(int(limit.get(name, 0)) for limit in limits for name in effective.GPU_RESOURCES)

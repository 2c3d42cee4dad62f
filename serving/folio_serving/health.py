"""Whether each model really answers: a canary by its task, because a process that runs is not a model that
works.

(An unsupported head size, a key that is wrong, an adapter that was never loaded: all of them look ready from
outside.)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from folio_api.table import OLD_REPLICAS, WAKING, Model, ModelState
from folio_serving.asking import AskError, quoted, whole_answer, within
from folio_serving.backends import Backend, Call, ProviderBackend
from folio_serving.conversation import Answer
from folio_serving.engines.signals import Wanted
from folio_serving.http1 import ConnectError, LostError
from folio_serving.policy import Policy
from folio_serving.replicas import Download
from folio_serving.upstream import NoReplicaError, QueueFullError

CANARY_SECONDS = 30.0
AGAIN_SECONDS = 5.0
"""After a canary that failed."""
UPDATING_AGAIN_SECONDS = 1.0
"""After one that a replica of before the update answered: the next may meet a new one."""
PROVIDER_AGAIN_SECONDS = 60.0
"""After a listing that worked: a provider may go away without telling."""

UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))

log = logging.getLogger("folio.health")
Subject = tuple[str, str, str | None]
"""Model, identity and application: an upgrade is another model under the same name."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the last canary of a model found, and at which replicas."""

    replicas: frozenset[str]
    works: bool
    current: bool = True
    """A replica of this identity has answered, and not only one that an update has yet to replace."""
    message: str = ""
    at: float = 0.0


class Health:
    """Sends canaries in the background, at every change of a model's replicas, and knows what they found."""

    def __init__(self, waking: Callable[[str], bool]) -> None:
        self._waking = waking
        """Whether an application is being woken."""
        self._policies: tuple[Policy, ...] = ()
        self._findings: dict[Subject, Finding] = {}
        self._silent_since: dict[Subject, float] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def use(self, active: Policy | None, candidate: Policy | None = None) -> None:
        """Look after the models of these tables; a candidate's have to answer before anybody asks them."""
        self._policies = tuple(policy for policy in (active, candidate) if policy is not None)
        self._carry_over(active)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._look())
        self._changed.set()

    def _carry_over(self, active: Policy | None) -> None:
        """Forget what no table names. What replicas of another identity were found to do stands for an update
        in place until one of its own answers; never for a second application, which has yet to show itself.
        """
        known = {(name, one): found for (name, _, one), found in self._findings.items() if found.works}
        kept = {key: found for key, found in self._findings.items() if key in self._subjects()}
        for model in active.table.models if active is not None else ():
            before = known.get((model.name, model.application))
            if before is not None and model.engine != "external":
                kept.setdefault(_key(model), replace(before, current=False, at=-math.inf))
        self._findings = kept

    def _subjects(self) -> dict[Subject, Backend]:
        return {_key(one.model): one for policy in self._policies for one in policy.backends.values()}

    def heard(self, application: str) -> None:  # noqa: ARG002 - any change may be ours
        self._changed.set()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def states(self, policy: Policy) -> tuple[ModelState, ...]:
        """Return every model's state, and who stands in for the ones that do not answer."""
        states = {name: self._state(backend) for name, backend in policy.backends.items()}
        ready = {name for name, state in states.items() if _answers(state)}
        return tuple(
            state if _answers(state) else replace_served(state, stand_in(policy, state.name, ready))
            for state in states.values()
        )

    def waiting_seconds(self) -> dict[str, float]:
        """Return for how long each model has not answered that ought to."""
        now = time.monotonic()
        waits: dict[str, float] = {}
        for (model, _, _), since in self._silent_since.items():
            waits[model] = max(waits.get(model, 0.0), round(now - since, 1))
        return waits

    def works(self, backend: Backend) -> bool:
        return _answers(self._state(backend))

    def _state(self, backend: Backend) -> ModelState:
        model, replicas = backend.model, len(backend.pool.addresses)
        finding = self._findings.get(_key(model))
        if not replicas:
            return self._without_replicas(model, finding)
        if finding is None:
            return ModelState(name=model.name, state="Loading", replicas=replicas, reason="CanaryPending")
        if finding.works and not finding.current:
            return ModelState(
                name=model.name,
                state="Updating",
                replicas=replicas,
                reason=OLD_REPLICAS,
                message="its old replicas answer until a new one does",
            )
        if finding.works:
            return ModelState(name=model.name, state="Ready", replicas=replicas)
        return ModelState(
            name=model.name, state="Failed", replicas=replicas, reason="CanaryFailed", message=finding.message
        )

    def _without_replicas(self, model: Model, finding: Finding | None) -> ModelState:
        if model.scales_to_zero and model.application is not None and self._waking(model.application):
            woken = "it was asked, and is being woken"
            return ModelState(name=model.name, state="Pending", reason=WAKING, message=woken)
        if model.scales_to_zero:
            return ModelState(name=model.name, state="Idle", reason="ScaledToZero")
        if finding is not None and finding.works:
            return ModelState(
                name=model.name, state="Updating", reason="NoReplica", message="its replicas are gone"
            )
        return ModelState(
            name=model.name, state="Pending", reason="NoReplica", message="no replica has started yet"
        )

    async def _look(self) -> None:
        while True:
            self._changed.clear()
            self._note_silence(time.monotonic())
            due = self._due()
            await asyncio.gather(*(self._try(backend) for backend in due))
            if not due:
                updating = any(not one.current for one in self._findings.values())
                with contextlib.suppress(TimeoutError):
                    seconds = UPDATING_AGAIN_SECONDS if updating else AGAIN_SECONDS
                    await asyncio.wait_for(self._changed.wait(), seconds)

    def _note_silence(self, now: float) -> None:
        silent = [
            key for key, one in self._subjects().items() if self._state(one).state not in ("Ready", "Idle")
        ]
        self._silent_since = {key: self._silent_since.get(key, now) for key in silent}

    def _due(self) -> list[Backend]:
        now = time.monotonic()
        return [one for one in self._subjects().values() if one.pool.addresses and self._is_due(one, now)]

    def _is_due(self, backend: Backend, now: float) -> bool:
        finding = self._findings.get(_key(backend.model))
        if finding is None or finding.replicas != _replicas(backend):
            return True
        if not finding.works:
            return now - finding.at > AGAIN_SECONDS
        if not finding.current:
            return now - finding.at > UPDATING_AGAIN_SECONDS / 2
        return backend.model.engine == "external" and now - finding.at > PROVIDER_AGAIN_SECONDS

    async def _try(self, backend: Backend) -> None:
        replicas = _replicas(backend)
        before = self._findings.get(_key(backend.model))
        try:
            current = await canary(backend) or (before is not None and before.works and before.current)
            finding = Finding(replicas, works=True, current=current, at=time.monotonic())
        except AskError as error:
            finding = Finding(replicas, works=False, message=error.message, at=time.monotonic())
            log.warning("canary of %s failed: %s", backend.model.name, error.message)
        if _key(backend.model) in self._subjects():
            self._findings[_key(backend.model)] = finding


def _answers(state: ModelState) -> bool:
    return state.state == "Ready" or state.reason == OLD_REPLICAS


def _key(model: Model) -> Subject:
    return model.name, model.identity, model.application


def _replicas(backend: Backend) -> frozenset[str]:
    return frozenset(address.replica for address in backend.pool.addresses)


def has_no_replica(state: ModelState) -> bool:
    """Tell whether a model waits for a replica, of which nobody but the replica knows how far it is."""
    return state.reason in ("NoReplica", WAKING)


def downloading(state: ModelState, download: Download) -> ModelState:
    """Return the state of a model whose replica fetches its files."""
    return state.model_copy(
        update={
            "state": "Downloading",
            "reason": state.reason if state.reason == WAKING else "Downloading",
            "message": f"{sized(download.done, download.total)} of {download.source} are here",
        }
    )


def sized(done: int, total: int) -> str:
    """Return how much is done of how much, in the unit that suits the whole."""
    unit, size = next((each for each in UNITS if total >= each[1]), UNITS[-1])
    return f"{done / size:.1f} of {total / size:.1f} {unit}"


def replace_served(state: ModelState, served_by: str) -> ModelState:
    return state.model_copy(update={"served_by": served_by})


def stand_in(policy: Policy, model: str, ready: set[str]) -> str:
    """Return the ready rung behind a model in the first ladder that has both."""
    for ladder in (*(intent.ladder for intent in policy.table.intents), policy.table.default_ladder):
        names = [rung.model for rung in ladder]
        if model in names:
            later = names[names.index(model) + 1 :]
            found = next((name for name in later if name in ready), "")
            if found:
                return found
    return ""


async def canary(backend: Backend) -> bool:
    """Ask a model for the least that shows that it works; raises AskError when it does not.

    False: an old replica answered, whose identity is another one.
    """
    if isinstance(backend, ProviderBackend) and not backend.paid_canary:
        await within(CANARY_SECONDS, backend.model.name, _listing(backend))
        return True
    call = _call(backend.model)
    answer: Answer = await within(
        CANARY_SECONDS, backend.model.name, whole_answer(backend, call, needs_text=False)
    )
    if call.path == "/v1/embeddings" and not _has_vector(answer.payload.body):
        raise AskError("UpstreamError", f"{backend.model.name}: its embedding has no numbers")
    return answer.signals.identity is None


def _call(model: Model) -> Call:
    body: dict[str, Any] = {"model": model.name}
    if "Embedding" in model.tasks and "Chat" not in model.tasks and "Classification" not in model.tasks:
        path = "/v1/embeddings"
        body["input"] = "canary"
    elif model.tasks == ("Completion",):
        path = "/v1/completions"
        body |= {"prompt": "canary", "max_tokens": 1}
    else:
        path = "/v1/chat/completions"
        body |= {"messages": [{"role": "user", "content": "canary"}], "max_tokens": 1}
    return Call(path, body, Wanted(), "folio-canary")


def _has_vector(body: bytes) -> bool:
    try:
        vector = orjson.loads(body)["data"][0]["embedding"]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return False
    return isinstance(vector, list) and len(vector) > 0


async def _listing(backend: ProviderBackend) -> None:
    name = backend.model.name
    try:
        lease = await backend.pool.lease()
    except (ConnectError, NoReplicaError, QueueFullError) as error:
        raise AskError("Unavailable", f"{name}: {error}") from error
    try:
        await lease.connection.ask(backend.listing(), whole=True)
        body = await lease.connection.whole()
    except (LostError, ConnectError) as error:
        raise AskError("Unavailable", f"{name}: {error}") from error
    finally:
        lease.release()
    if lease.connection.status != 200:
        status = lease.connection.status
        kept_back = "it does not take the portfolio's key"
        said = kept_back if status in (401, 403) else quoted(backend, body)
        raise AskError("UpstreamError", f"{name}: its listing answered {status}: {said}")

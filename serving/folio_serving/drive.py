"""Plays a cascade against real models: does what each step says, within its time, and cancels all of it at
once.

Cancelling the task that runs a drive closes the connections of every model that still works for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from folio_serving.agreement import resampled
from folio_serving.asking import AskError, Stream, stream_of, whole_answer, within
from folio_serving.backends import Backend, Call
from folio_serving.cascade import Conversation
from folio_serving.context import context_block, context_tokens, with_context
from folio_serving.conversation import (
    Answer,
    Ask,
    Buffered,
    Commit,
    Failed,
    Prefix,
    PrefixCommit,
    Reply,
    Step,
    Together,
    Verdict,
)
from folio_serving.engines.signals import Wanted
from folio_serving.fleet import Fleet
from folio_serving.openai import UPSTREAM_PATHS, Query
from folio_serving.outlet import Outlet, rung_headers
from folio_serving.purse import Purse
from folio_serving.sse import EventReader
from folio_serving.toolcalls import marked, restored

_LEFT = "the client left"
STREAM_IDLE_SECONDS = 60.0
"""How long a stream that the client already sees may be silent."""
STREAM_SECONDS = 1800.0
"""How long such a stream may last: one that never ends holds a place of its model for ever."""


@dataclass(slots=True)
class Drive:
    """One query's way through its ladder."""

    query: Query
    backends: Mapping[str, Backend]
    fleet: Fleet
    request_id: str
    outlet: Outlet | None = None
    """Where a streamed answer goes as it comes."""
    left: Verdict | None = None
    """How the conversation stood when the client left."""
    purse: Purse | None = None
    """What the query may spend; None where no budget is over it."""
    _stream: Stream | None = None
    _rung: int = 0
    _together: tuple[asyncio.Task[Answer | Failed], ...] = ()

    async def run(self, conversation: Conversation) -> Verdict:
        """Return how the conversation ended."""
        try:
            step = next(conversation)
            while True:
                step = conversation.send(await self._reply(step))
        except StopIteration as ended:
            verdict: Verdict = ended.value
            return verdict
        except asyncio.CancelledError:
            self.left = _ended(conversation, self._cut_off(step))
            raise
        finally:
            self._leave_stream()

    async def _reply(self, step: Step) -> Reply:
        if isinstance(step, Commit):
            return await self._commit()
        self._leave_stream()
        if self.purse is not None and (refused := await self._unaffordable(self.purse, step)) is not None:
            return refused
        if isinstance(step, Together):
            self._together = tuple(asyncio.ensure_future(self._ask_whole(ask)) for ask in step.asks)
            return tuple(await asyncio.gather(*self._together))
        streams = self.outlet is not None and step.role == "rung" and not isinstance(step.delivery, Buffered)
        return await (self._ask_stream(step) if streams else self._ask_whole(step))

    async def _unaffordable(self, purse: Purse, step: Ask | Together) -> Reply | None:
        """Return that no budget has room for what would be asked; None where it was reserved."""
        asks = step.asks if isinstance(step, Together) else (step,)
        trouble = await purse.refusal(asks)
        if trouble is None:
            return None
        failed = Failed("OverBudget", trouble.message, time.monotonic(), payload=trouble)
        return (failed,) * len(asks) if isinstance(step, Together) else failed

    async def _ask_whole(self, ask: Ask) -> Answer | Failed:
        backend = self.backends[ask.model]
        try:
            self.fleet.check_awake(backend)
            work = whole_answer(backend, self._call(ask, stream=False), needs_text=ask.needs_text)
            answer: Answer = await within(ask.timeout_seconds, ask.model, work)
        except AskError as error:
            return error.failed()
        return answer

    async def _ask_stream(self, ask: Ask) -> Reply:
        backend = self.backends[ask.model]
        prefix = isinstance(ask.delivery, PrefixCommit)
        try:
            self.fleet.check_awake(backend)
            stream: Stream = await within(
                ask.timeout_seconds, ask.model, self._begun(backend, ask, prefix=prefix)
            )
        except AskError as error:
            return self._failed(error)
        if not prefix:
            return await self._commit()
        if stream.ended:
            return stream.answer(needs_text=ask.needs_text)
        assert stream.reader.prefix is not None, "a stream is held back until its first tokens are reported"
        return Prefix(stream.reader.prefix, time.monotonic())

    async def _begun(self, backend: Backend, ask: Ask, *, prefix: bool) -> Stream:
        """Return the model's stream with what is needed to decide on it; from here on its timeout does not
        count.
        """
        reader = EventReader(hold_usage=self.query.wants_usage, rewrite=self._rewrite(ask.model))
        call = self._call(ask, stream=True)
        self._rung = ask.rung
        self._stream = await stream_of(backend, call, reader)
        await self._stream.hold(to_prefix=prefix)
        return self._stream

    async def _commit(self) -> Answer | Failed:
        """Let the stream through, from what was held back to its end."""
        stream, outlet = self._stream, self.outlet
        assert stream is not None, "a commit follows a prefix"
        assert outlet is not None
        try:
            await self._pump(stream, outlet)
        except AskError as error:
            return replace(self._failed(error), committed=outlet.model is not None)
        return stream.answer(needs_text=False)

    async def _pump(self, stream: Stream, outlet: Outlet) -> None:
        headers = rung_headers(self._rung, stream.model)
        held, stream.held = b"".join(stream.held), []
        if held:
            await outlet.events(held, stream.model, headers)
        now = asyncio.get_running_loop().time()
        end = now + STREAM_SECONDS
        try:
            async with asyncio.timeout_at(min(now + STREAM_IDLE_SECONDS, end)) as idle:
                while (events := await stream.more()) is not None:
                    if events:
                        await outlet.events(events, stream.model, headers)
                        _prolong(idle, end)
        except TimeoutError:
            ended = idle.when() == end
            why = f"lasted {STREAM_SECONDS:g} s" if ended else f"was silent for {STREAM_IDLE_SECONDS:g} s"
            raise AskError("Timeout", f"{stream.model}: its stream {why}") from None

    def _cut_off(self, step: Step) -> Reply:
        """Return what is known of a step that the client did not wait for."""
        if not isinstance(step, Together):
            return self._failed(AskError("ClientLeft", _LEFT))
        first, *others = (_so_far(task) for task in self._together)
        # Whatever the others said: with the first reply the conversation ends.
        return (Failed("ClientLeft", _LEFT, time.monotonic(), first.signals), *others)

    def _failed(self, error: AskError) -> Failed:
        return replace(error.failed(), signals=self._stream.used() if self._stream is not None else None)

    def _leave_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _call(self, ask: Ask, *, stream: bool) -> Call:
        at = ask.delivery.tokens if stream and isinstance(ask.delivery, PrefixCommit) else None
        return Call(
            path=UPSTREAM_PATHS[self.query.kind],
            body=body_for(self.query, ask, stream=stream),
            wanted=Wanted(logprobs=ask.signals == "logprobs", at=at),
            request_id=self.request_id,
            prompt_tokens=self._prompt_tokens(ask),
        )

    def _prompt_tokens(self, ask: Ask) -> int:
        facts = self.query.facts
        shown = context_tokens(ask.drafts, ask.passages) if ask.drafts or ask.passages else 0
        return facts.prompt_tokens + facts.further_prompt_tokens + shown

    def _rewrite(self, model: str) -> Any:
        """Return how a stream's events are changed: tool calls get to carry who made them."""
        if not self.query.body.get("tools"):
            return None
        return lambda message: marked_answer(message, model, "delta")


def _ended(conversation: Conversation, last: Reply) -> Verdict:
    """Return the verdict of a conversation that this reply ends."""
    try:
        step = conversation.send(last)
    except StopIteration as ended:
        verdict: Verdict = ended.value
        return verdict
    raise AssertionError(f"the client left, and the cascade goes on with {step}")


def _so_far(task: asyncio.Task[Answer | Failed]) -> Answer | Failed:
    if task.done() and not task.cancelled() and task.exception() is None:
        return task.result()
    return Failed("ClientLeft", _LEFT, time.monotonic())


def _prolong(idle: asyncio.Timeout, end: float) -> None:
    """Move the end of patience along, not at every event: a timer costs more than an event does."""
    until = min(asyncio.get_running_loop().time() + STREAM_IDLE_SECONDS, end)
    late = until - (idle.when() or until)
    if late > STREAM_IDLE_SECONDS / 10 or (late > 0 and until == end):
        idle.reschedule(until)


def body_for(query: Query, ask: Ask, *, stream: bool) -> dict[str, Any]:
    """Return the request that one model gets."""
    body = {**query.body, "model": ask.model}
    if query.stream and not stream:
        del body["stream"]
        body.pop("stream_options", None)
    if ask.sample:
        body = resampled(body, ask.sample)
    if query.kind == "chat":
        if query.facts.tool_issuer is not None or _has_calls(query):
            body["messages"] = restored(body["messages"])
        if ask.drafts or ask.passages:
            body["messages"] = with_context(body["messages"], ask.drafts, ask.passages)
    elif query.kind == "completions" and (ask.drafts or ask.passages) and isinstance(body["prompt"], str):
        body["prompt"] = f"{context_block(ask.drafts, ask.passages)}\n\n{body['prompt']}"
    return body


def marked_answer(answer: Mapping[str, Any], model: str, member: str) -> dict[str, Any]:
    """Return an answer or event whose tool calls say which model made them."""
    choices = [
        {**choice, member: marked(choice[member], model)} if choice.get(member) else choice
        for choice in answer.get("choices") or ()
    ]
    return {**answer, "choices": choices}


def _has_calls(query: Query) -> bool:
    return any(message.get("tool_calls") or message["role"] == "tool" for message in query.body["messages"])

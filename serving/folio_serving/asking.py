"""One request to one model, as a whole or as a stream; what goes wrong comes back as a Failed with its
reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from folio_serving.backends import Backend, Call, Translation
from folio_serving.confidence import IDENTITY_HEADER, Signals
from folio_serving.context import Passage
from folio_serving.conversation import Answer, Failed, Reason
from folio_serving.errors import error_body
from folio_serving.http1 import ConnectError, Connection, LostError
from folio_serving.sse import END, EventReader, texts_of
from folio_serving.upstream import Endpoint, Lease, NoReplicaError, QueueFullError

_TOO_LONG = (b"context_length_exceeded", b"maximum context length", b"context length", b"max_model_len")
_REASONS: dict[int, Reason] = {
    404: "Unavailable",
    408: "Timeout",
    413: "TooLong",
    429: "QueueFull",
    503: "Unavailable",
    504: "Timeout",
}
_IDENTITY = IDENTITY_HEADER.encode()
UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
"""What an answer of another shape than OpenAI's makes its readers raise: the model's failure, not ours."""
CLOSING_SECONDS = 0.5
"""How long an answer's end may take behind its stream's last event; then its connection is ended."""
QUOTED_CHARACTERS = 300
"""Characters of an upstream's own words that a reason quotes."""


class AskError(Exception):
    """A model gave no answer."""

    def __init__(self, reason: Reason, message: str, payload: ErrorReply | None = None) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message
        self.payload = payload

    def failed(self) -> Failed:
        return Failed(self.reason, self.message, time.monotonic(), payload=self.payload)


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """What a model's server answered instead of an answer."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole answer, as the client shall get it."""

    body: bytes
    content_type: bytes


@dataclass(slots=True)
class Opened:
    """An answer whose headers have come."""

    lease: Lease
    connection: Connection
    translation: Translation


async def opened(backend: Backend, call: Call, *, whole: bool) -> Opened:
    """Send a call and return at the answer's headers; raises AskError for everything but a 200."""
    refusal = backend.refusal(call)
    if refusal is not None:
        raise AskError("QueueFull", f"{backend.model.name}: {refusal}")
    answer = await _sent(backend, call, None, whole=whole)
    if answer.connection.status == 503 and len(backend.pool.addresses) > 1:
        answer.lease.release()
        answer = await _sent(backend, call, answer.lease.endpoint, whole=whole)
    if answer.connection.status == 200:
        return answer
    try:
        raise _refused(backend, answer.connection.status, await answer.connection.whole())
    except LostError as error:
        raise AskError("UpstreamError", f"{backend.model.name}: {error}") from error
    finally:
        answer.lease.release()


async def whole_answer(backend: Backend, call: Call, *, needs_text: bool) -> Answer:
    """Return a model's whole answer."""
    answer = await opened(backend, call, whole=True)
    connection = answer.connection
    try:
        said = await connection.whole()
    except LostError as error:
        raise AskError("UpstreamError", f"{backend.model.name}: {error}") from error
    finally:
        answer.lease.release()
    try:
        body, signals = answer.translation.whole(connection.headers, said)
        texts, passages = read_texts(body) if needs_text else ((), ())
    except UNREADABLE as error:
        message = f"{backend.model.name} answered 200 and no answer: {error}: {quoted(backend, said)}"
        raise AskError("UpstreamError", message) from error
    if (other := _other_identity(backend, connection)) is not None:
        signals = replace(signals, identity=other)
    content_type = connection.headers.get(b"content-type", b"application/json")
    return Answer(signals, time.monotonic(), texts, passages, Whole(body, content_type))


@dataclass(slots=True)
class Stream:
    """A model's stream: events are held back until somebody takes them."""

    backend: Backend
    opened: Opened
    reader: EventReader
    held: list[bytes] = field(default_factory=list)
    ended: bool = False
    events: int = 0

    @property
    def model(self) -> str:
        return self.backend.model.name

    async def more(self) -> bytes | None:
        """Return the next events for the client, perhaps none; None when the stream is complete."""
        if self.ended:
            return None
        try:
            data = await self._more_bytes()
        except LostError as error:
            raise AskError("UpstreamError", f"{self.model}: its stream broke off: {error}") from error
        translation = self.opened.translation
        if data:
            ready = self._read(lambda: translation.chunk(data))
            self.events += ready.count(END)
            return ready
        self.ended = True
        events = self._read(translation.last)
        if self.reader.error is not None:
            said = quoted(self.backend, self.reader.error.encode())
            raise AskError("UpstreamError", f"{self.model}: {said}")
        if not self.reader.done:
            raise AskError("UpstreamError", f"{self.model}: its stream ended before it was complete")
        return events

    async def _more_bytes(self) -> bytes:
        """Return what has come; nothing after the last event, whether or not the connection ends with it."""
        connection = self.opened.connection
        if not self.reader.done and self.reader.error is None:
            return await connection.chunk()
        with suppress(TimeoutError, LostError):
            async with asyncio.timeout(CLOSING_SECONDS):
                await connection.chunk()
        return b""

    def _read(self, translated: Callable[[], bytes]) -> bytes:
        try:
            return self.reader.feed(translated())
        except UNREADABLE as error:
            raise AskError("UpstreamError", f"{self.model}: its stream cannot be read: {error}") from error

    async def hold(self, *, to_prefix: bool) -> None:
        """Hold events back until the first tokens are reported, or until there are any; or to the end."""
        while (self.reader.prefix is None or self.reader.end is not None) if to_prefix else not self.held:
            events = await self.more()
            if events is None:
                return
            if events:
                self.held.append(events)

    def used(self) -> Signals:
        """Return what the stream took so far: by its own report, by its text, or about a token an event."""
        if self.reader.end is not None:
            return self.reader.end
        said = self.opened.translation.said_tokens()
        return Signals(completion=self.events if said is None else said)

    def answer(self, *, needs_text: bool) -> Answer:
        """Return what was held back.

        It has no passages: a retriever's signals are Score, which is judged whole, and Always, which ends it.
        """
        texts = texts_of(b"".join(self.held)) if needs_text else ()
        return Answer(self.reader.end or Signals(), time.monotonic(), texts, payload=self)

    def close(self) -> None:
        """Leave the stream; where it still runs, that ends the work behind it."""
        self.opened.lease.release()
        self.opened.translation.leave()


async def stream_of(backend: Backend, call: Call, reader: EventReader) -> Stream:
    answer = await opened(backend, call, whole=False)
    reader.identity = _other_identity(backend, answer.connection)
    return Stream(backend, answer, reader)


def _other_identity(backend: Backend, connection: Connection) -> str | None:
    """Return the identity that a replica says it has, where that is not the one that the table expects."""
    said = connection.headers.get(_IDENTITY)
    return None if said is None or said == backend.model.identity.encode() else said.decode("latin-1")


async def _sent(backend: Backend, call: Call, avoid: Endpoint | None, *, whole: bool) -> Opened:
    name = backend.model.name
    try:
        lease = await backend.pool.lease(avoid)
    except NoReplicaError:
        raise AskError("Unavailable", f"{name} has no replica") from None
    except QueueFullError:
        raise AskError("QueueFull", f"{name}: {backend.pool.queued} requests wait already") from None
    except ConnectError as error:
        raise AskError("Unavailable", f"{name}: {error}") from error
    try:
        request, translation = backend.request(lease.endpoint, call)
        await lease.connection.ask(request, whole=whole)
    except (LostError, ConnectError) as error:
        lease.release()
        raise AskError("Unavailable", f"{name}: {error}") from error
    except BaseException:
        lease.release()
        raise
    return Opened(lease, lease.connection, translation)


def _refused(backend: Backend, status: int, body: bytes) -> AskError:
    name = backend.model.name
    if status in (401, 403):
        # What it says may hold a part of the key.
        return AskError("UpstreamError", f"{name} answered {status}: it does not take the portfolio's key")
    said = quoted(backend, body)
    if status in (400, 422):
        reply = ErrorReply(400, _in_openai_s_shape(backend, body))
        too_long = any(words in body for words in _TOO_LONG)
        return AskError("TooLong" if too_long else "BadRequest", f"{name}: {said}", reply)
    if status == 503 and backend.model.application is not None:
        return AskError("QueueFull", f"{name}: {said}")
    return AskError(_REASONS.get(status, "UpstreamError"), f"{name} answered {status}: {said}")


def quoted(backend: Backend, said: bytes) -> str:
    """Return the beginning of a model's server's own words."""
    return backend.quotable(said)[:QUOTED_CHARACTERS].decode(errors="replace")


def _in_openai_s_shape(backend: Backend, body: bytes) -> bytes:
    """Return a refusal as clients can read it: as it came where it has their shape."""
    try:
        is_read = isinstance(orjson.loads(body)["error"]["message"], str)
    except UNREADABLE:
        is_read = False
    if is_read:
        return backend.quotable(body)
    message = f"{backend.model.name} refused the request: {quoted(backend, body)}"
    return error_body(message, "invalid_request_error", "invalid_request")


def read_texts(body: bytes) -> tuple[tuple[str, ...], tuple[Passage, ...]]:
    """Return what each choice of an answer says, and a retriever's passages."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return (), ()
    if not isinstance(answer, dict):
        return (), ()
    texts = tuple(_choice_text(choice) for choice in answer.get("choices") or ())
    found = (answer.get("folio") or {}).get("passages") or ()
    return texts, tuple(
        Passage(one["text"], one.get("source", ""), one.get("score", 0.0)) for one in found if "text" in one
    )


def _choice_text(choice: Mapping[str, Any]) -> str:
    message = choice.get("message") or {}
    calls = message.get("tool_calls")
    if calls:
        functions = [call.get("function") for call in calls]
        return orjson.dumps(functions, option=orjson.OPT_SORT_KEYS).decode()
    said = message.get("content") or choice.get("text")
    return said if isinstance(said, str) else ""


async def within(seconds: float, model: str, work: Any) -> Any:
    """Return the work's result; past the seconds it is cancelled, down to the replica, and that is an
    AskError.
    """
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise AskError("Timeout", f"{model} took longer than {seconds:.3g} s") from None

"""Server-sent events on their way through the gateway: whole events pass unread, our own comments and the end
do not.

Pure: bytes in, bytes out, whatever the network made of the chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from folio_serving.confidence import Signals, parse_comment

END = b"\n\n"
DONE = b"data: [DONE]\n\n"
HEARTBEAT = b": working on it\n\n"
_DATA = b"data:"
_MARKS = (b": folio ", b"[DONE]", b'data: {"error"')
"""What an event that is not only the client's may hold."""
_USAGE_CHUNK = b'"choices":[]'
_TOOL_CALLS = b'"tool_calls"'

Rewrite = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(slots=True)
class EventReader:
    """One stream from a replica. `feed` returns the complete events that the client shall see.

    The usage chunk and `[DONE]` stay behind, for the account goes between them.
    """

    hold_usage: bool = False
    rewrite: Rewrite | None = None
    """Applied to every event that carries tool calls."""
    prefix: Signals | None = None
    """What the replica reported of the first N tokens."""
    end: Signals | None = None
    done: bool = False
    usage: dict[str, Any] | None = None
    identity: str | None = None
    """What the reports are of, where that is not the table's: `Signals.identity`."""
    error: str | None = None
    _rest: bytes = b""

    def feed(self, chunk: bytes) -> bytes:
        data = self._rest + chunk if self._rest else chunk
        cut = data.rfind(END) + 2
        if cut == 1:
            self._rest = data
            return b""
        self._rest = data[cut:]
        return self._sifted(data[:cut] if self._rest else data)

    def _sifted(self, ready: bytes) -> bytes:
        """Return the events for the client; most are not even told apart."""
        starts = self._starts(ready)
        if not starts:
            return ready
        parts: list[bytes] = []
        done = 0
        for start in starts:
            end = ready.find(END, start)
            parts += ready[done:start], self._event(ready[start:end])
            done = end + len(END)
        return b"".join([*parts, ready[done:]])

    def _starts(self, ready: bytes) -> list[int]:
        """Return where the events begin that need a look, in their order."""
        starts: set[int] = set()
        for mark in (
            *_MARKS,
            *((_USAGE_CHUNK,) if self.hold_usage else ()),
            *((_TOOL_CALLS,) if self.rewrite is not None else ()),
        ):
            done, found = 0, ready.find(mark)
            while found >= 0:
                boundary = ready.rfind(END, done, found)
                starts.add(boundary + len(END) if boundary >= 0 else done)
                done = ready.find(END, found) + len(END)
                found = ready.find(mark, done)
        return sorted(starts)

    def _event(self, event: bytes) -> bytes:
        if event.startswith(b": folio "):
            comment, _, event = event.partition(b"\n")
            self._report(comment)
            if not event:
                return b""
        if not event.startswith(_DATA):
            return event + END
        content = event[len(_DATA) :].strip()
        if content == b"[DONE]":
            self.done = True
            return b""
        return self._data(event, content)

    def _data(self, event: bytes, content: bytes) -> bytes:
        if content.startswith(b'{"error"'):
            self.error = content.decode(errors="replace")
            return b""
        if self.hold_usage and _USAGE_CHUNK in content:
            self.usage = orjson.loads(content)
            return b""
        if self.rewrite is not None and _TOOL_CALLS in content:
            return event_of(self.rewrite(orjson.loads(content)))
        return event + END

    def _report(self, comment: bytes) -> None:
        report = parse_comment(comment.decode(errors="replace"))
        if report is None:
            return
        signals = report.signals
        if self.identity is not None:
            signals = replace(signals, identity=self.identity)
        if report.end:
            self.end = signals
        else:
            self.prefix = signals


def event_of(message: Mapping[str, Any]) -> bytes:
    """Return one `data:` event."""
    return b"data: " + orjson.dumps(message) + END


def comment_of(account: Mapping[str, Any]) -> bytes:
    """Return the account as a comment: clients that know nothing of it skip it."""
    return b": folio " + orjson.dumps(account) + END


def messages_of(events: bytes) -> Iterable[dict[str, Any]]:
    """Return the JSON messages of complete events."""
    for event in events.split(END):
        content = event[len(_DATA) :].strip() if event.startswith(_DATA) else b""
        if content and content != b"[DONE]":
            message = orjson.loads(content)
            if isinstance(message, dict):
                yield message


def texts_of(events: bytes) -> tuple[str, ...]:
    """Return what each choice of a stream said; its tool calls as JSON where it made some."""
    said: dict[int, list[str]] = {}
    calls: dict[int, dict[int, dict[str, str]]] = {}
    for message in messages_of(events):
        for choice in message.get("choices") or ():
            index = choice.get("index", 0)
            delta = choice.get("delta") or {}
            said.setdefault(index, []).append(delta.get("content") or choice.get("text") or "")
            for call in delta.get("tool_calls") or ():
                _add_call(calls.setdefault(index, {}), call)
    return tuple(_said(said[index], calls.get(index)) for index in sorted(said))


def _add_call(calls: dict[int, dict[str, str]], call: Mapping[str, Any]) -> None:
    function = call.get("function") or {}
    known = calls.setdefault(call.get("index", 0), {"name": "", "arguments": ""})
    known["name"] += function.get("name") or ""
    known["arguments"] += function.get("arguments") or ""


def _said(parts: list[str], calls: dict[int, dict[str, str]] | None) -> str:
    if calls:
        return orjson.dumps([calls[index] for index in sorted(calls)], option=orjson.OPT_SORT_KEYS).decode()
    return "".join(parts)

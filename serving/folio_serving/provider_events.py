"""A provider's stream as the events that ours are: one `data:` line each, failures as OpenAI's error object.

Providers write what server-sent events allow: names, ids, comments, data over several lines. Their comments
are left out: ours carry what a model is paid and judged by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from folio_serving.sse import END

MAX_EVENT_BYTES = 4 << 20
_DATA = b"data:"
_ERROR = b'"error"'
_DONE = b"[DONE]"
_MARK = "\ufeff".encode()
"""One at the beginning of a stream is no part of it, as the specification of server-sent events has it."""


@dataclass(slots=True)
class ProviderEvents:
    """`feed` takes what came, with plain line ends, and returns the events that it completes."""

    _rest: bytearray = field(default_factory=bytearray)
    """No end of an event is in it; it grows in place, for a long event comes in many small pieces."""
    _begun: bool = False

    def feed(self, chunk: bytes) -> bytes:
        if not self._begun:
            chunk = self._beginning(chunk)
        if not self._rest and _is_plain(chunk):
            return chunk
        unseen = max(0, len(self._rest) - len(END) + 1)
        self._rest += chunk
        cut = self._rest.rfind(END, unseen)
        if cut < 0:
            if len(self._rest) > MAX_EVENT_BYTES:
                raise ValueError(f"one event has more than {MAX_EVENT_BYTES} bytes")
            return b""
        ready = bytes(self._rest[:cut])
        del self._rest[: cut + len(END)]
        return b"".join([_event(event) for event in ready.split(END)])

    def _beginning(self, chunk: bytes) -> bytes:
        """Return the beginning of a stream without its mark, or nothing while it may be half a mark."""
        data = bytes(self._rest) + chunk
        self._begun = len(data) >= len(_MARK) or not _MARK.startswith(data)
        self._rest[:] = b"" if self._begun else data
        return data.removeprefix(_MARK) if self._begun else b""

    def flush(self) -> bytes:
        """Return the last event of a stream that ended without an empty line behind it."""
        rest = bytes(self._rest)
        self._rest.clear()
        return _event(rest)


def _is_plain(chunk: bytes) -> bool:
    """Tell whether it is just one whole event that needs no change, as nearly every chunk is."""
    return (
        chunk.startswith(b"data: {")
        and chunk.endswith(END)
        and chunk.count(b"\n") == 2
        and _ERROR not in chunk
    )


def _event(event: bytes) -> bytes:
    if event.startswith(_DATA) and b"\n" not in event:
        return _as_data(event[len(_DATA) :].strip())
    name, lines = b"", []
    for line in event.split(b"\n"):
        member, _, value = line.partition(b":")
        if member == b"data":
            lines.append(value.strip())
        elif member == b"event":
            name = value.strip()
    # A line end inside JSON stands between its tokens.
    content = b" ".join(lines)
    if name == b"error":
        return _as_error(content)
    if name not in (b"", b"message") and b'"choices"' not in content and content != _DONE:
        return b""
    return _as_data(content)


def _as_data(content: bytes) -> bytes:
    if _ERROR in content and (error := _error_in(content)) is not None:
        return _data_of({"error": error})
    return b"data: " + content + END if content else b""


def _as_error(content: bytes) -> bytes:
    error = _error_in(content)
    return _data_of({"error": error if error is not None else {"message": content.decode(errors="replace")}})


def _error_in(content: bytes) -> Any:
    """Return the error that an event is; None for one that only has the word, or an empty member."""
    try:
        message = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict) or message.get("choices"):
        return None
    return message.get("error") or None


def _data_of(message: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(message) + END

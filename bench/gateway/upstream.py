"""The instant upstream: 64-token answers with logprobs, out of memory, as a Folio replica and as plain OpenAI
at once.

`python -m bench.gateway.upstream PORT`. Its CPU is nobody's; it is only as fast as it must be not to be in
the way.
"""

from __future__ import annotations

import asyncio
import json
import sys

import httptools
import uvloop

TOKENS = 64
_SIGNALS = "mean=0.9;min=0.5;prompt=20;completion=64;finish=stop;seconds=0.01;class=sampled"
_USAGE = {"prompt_tokens": 20, "completion_tokens": TOKENS, "total_tokens": 20 + TOKENS}


def _whole() -> bytes:
    token = {"token": " word", "logprob": -0.105, "bytes": None, "top_logprobs": []}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": " word" * TOKENS},
        "logprobs": {"content": [token] * TOKENS},
        "finish_reason": "stop",
    }
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "small",
        "choices": [choice],
    }
    return json.dumps(body | {"usage": _USAGE}, separators=(",", ":")).encode()


def _events() -> list[bytes]:
    frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "small"}
    events = []
    for index in range(TOKENS):
        finish = "stop" if index == TOKENS - 1 else None
        choice = {"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": finish}
        event = json.dumps(frame | {"choices": [choice]}, separators=(",", ":"))
        events.append(f"data: {event}\n\n".encode())
        if index == 31:
            events.append(b": folio mean=0.9;min=0.5;n=32\n\n")
    events.append(f": folio end;{_SIGNALS}\n\n".encode())
    return [*events, b"data: [DONE]\n\n"]


_WHOLE = _whole()
WHOLE_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-folio-signals: "
    + _SIGNALS.encode()
    + f"\r\ncontent-length: {len(_WHOLE)}\r\n\r\n".encode()
    + _WHOLE
)
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_PARTS = [b"%x\r\n%s\r\n" % (len(event), event) for event in _events()]


class Upstream(asyncio.Protocol):
    """Answers every request on a connection at once; a stream chunk by chunk, each in its own packet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        streams = b'"stream":true' in self._body or b'"stream": true' in self._body
        self._body = b""
        if streams:
            self._transport.write(_STREAM_HEAD)
            asyncio.get_running_loop().call_soon(self._next, 0)
        else:
            self._transport.write(WHOLE_ANSWER)

    def _next(self, index: int) -> None:
        if self._transport.is_closing():
            return
        if index == len(STREAM_PARTS):
            self._transport.write(b"0\r\n\r\n")
            return
        self._transport.write(STREAM_PARTS[index])
        asyncio.get_running_loop().call_soon(self._next, index + 1)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))

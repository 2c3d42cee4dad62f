"""The gateway as a raw ASGI application: HTTP on one side, queries on the other; nothing is decided here.

One instance serves one process. It answers 503 until it was given its first table.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from folio_serving.answering import Answering, Request
from folio_serving.canary import stickiness
from folio_serving.door import Door
from folio_serving.errors import Trouble
from folio_serving.fleet import Fleet
from folio_serving.keeper import Keeper
from folio_serving.listing import explained, listed
from folio_serving.metrics import CONTENT_TYPE, Metrics
from folio_serving.openai import PATHS, Kind, parse_body, parse_query
from folio_serving.outlet import Header, Send
from folio_serving.state import Reporter

Receive = Callable[[], Awaitable[dict[str, Any]]]
Scope = dict[str, Any]

EXPLAIN_PATH = "/v1/folio/route"
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/internal/state"})
"""What needs no key; the last one has a token of its own."""
PAGES = OPEN_PATHS | {"/v1/models"}
MAX_BODY_BYTES = 8 << 20
MAX_HEADER_BYTES = 32 << 10
MAX_HEADERS = 128
MAX_LENGTH_DIGITS = 18
"""Python refuses to read numbers of thousands of digits."""
MAX_ID_CHARACTERS = 128
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")
_SINGLE = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"host",
        b"x-folio-revision",
        b"x-folio-request-id",
    }
)
_NO_CANCEL = "x-request-disconnect-disabled"
"""A client's wish to Serve, which would let its models work on for nobody."""
_JSON: Header = (b"content-type", b"application/json")
_TEXT: Header = (b"content-type", b"text/plain; charset=utf-8")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP request, and the way back to its client."""

    path: str
    method: str
    headers: Mapping[str, str]
    request_id: str
    receive: Receive
    send: Send
    tenant: str
    """Empty where nobody is asked for a key."""


class Gateway:
    """ASGI: OpenAI's API in front of a portfolio."""

    def __init__(
        self,
        keeper: Keeper,
        fleet: Fleet,
        metrics: Metrics,
        answering: Answering,
        reporter: Reporter,
        *,
        door: Door,
    ) -> None:
        self.server_cancels = False
        """Whether the server cancels a request's task when its client leaves, as Serve does."""
        self._keeper = keeper
        self._fleet = fleet
        self._metrics = metrics
        self._answering = answering
        self._reporter = reporter
        self._door = door
        self._ids = itertools.count()
        self._id_prefix = os.urandom(6).hex()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        self._answering.close()
        self._door.close()
        await self._answering.leave()
        self._reporter.close()
        self._fleet.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        request_id = self._new_id()
        try:
            headers = read_headers(scope["headers"])
            request_id = _given_id(headers) or request_id
            auth = self._keeper.auth
            tenant = await self._door.tenant(auth, headers) if auth and path not in OPEN_PATHS else ""
            exchange = Exchange(path, scope["method"], headers, request_id, receive, send, tenant)
            if path in PATHS:
                await self._model_call(exchange)
            elif path == EXPLAIN_PATH:
                await self._explain(exchange)
            else:
                await self._page(exchange, scope.get("query_string", b""))
        except Trouble as trouble:
            await self._refuse(path, trouble, request_id, send)
        except asyncio.CancelledError:
            self._metrics.left[()].inc()
            raise

    async def _model_call(self, exchange: Exchange) -> None:
        started = time.monotonic()
        headers = exchange.headers
        check_post(exchange.method, headers)
        asked = headers.get("x-folio-revision")
        policy = self._keeper.policy(asked)
        body = parse_body(await read_body(exchange.receive, headers))
        query = parse_query(PATHS[exchange.path], body, headers)
        if asked is None and query.kind != "embeddings":  # an index would mix the vectors of two tables
            policy = self._keeper.drawn(lambda: stickiness(body, exchange.tenant, exchange.request_id))
        by_name = asked is not None
        request = Request(
            exchange.path, query, policy, exchange.request_id, started, exchange.tenant, by_name
        )
        answer = self._answering.answer(request, exchange.send)
        if self.server_cancels and _NO_CANCEL not in headers:
            await answer
        else:
            await until_left(answer, exchange.receive)

    async def _explain(self, exchange: Exchange) -> None:
        headers = exchange.headers
        check_post(exchange.method, headers)
        policy = self._keeper.policy(headers.get("x-folio-revision"))
        body = parse_body(await read_body(exchange.receive, headers))
        kind: Kind = "chat" if "messages" in body else "completions" if "prompt" in body else "embeddings"
        query = parse_query(kind, body, headers)
        request = Request(exchange.path, query, policy, exchange.request_id, time.monotonic())
        found = explained(policy, await self._answering.route(request))
        await send_whole(exchange.send, 200, found, (*self._base(exchange.request_id), _JSON))

    async def _page(self, exchange: Exchange, question: bytes) -> None:
        path = exchange.path
        if exchange.method not in {"GET", "HEAD"} and (path in PAGES or path.startswith("/v1/models/")):
            raise Trouble("Method", f"{path} is read with GET")
        status, body, kind = await self._get(path, exchange.headers, own=question == b"replica")
        self._metrics.requests[path, str(status)].inc()
        await send_whole(exchange.send, status, body, (*self._base(exchange.request_id), kind))

    async def _get(self, path: str, headers: Mapping[str, str], *, own: bool) -> tuple[int, bytes, Header]:
        if path == "/healthz":
            return 200, b"ok\n", _TEXT
        if path == "/readyz":
            ready = self._reporter.ready()
            return (
                (200, b"ok\n", _TEXT)
                if ready
                else (503, b"no rung of the default ladder answers yet\n", _TEXT)
            )
        if path == "/metrics":
            return 200, self._metrics.text(), (b"content-type", CONTENT_TYPE)
        if path == "/v1/models" or path.startswith("/v1/models/"):
            policy = self._keeper.policy(headers.get("x-folio-revision"))
            return 200, listed(policy, path.removeprefix("/v1/models").removeprefix("/")), _JSON
        if path == "/internal/state":
            self._check_token(headers, path)
            return 200, await self._reporter.state(own=own), _JSON
        raise Trouble("UnknownPath", f"there is no {path}")

    def _check_token(self, headers: Mapping[str, str], path: str) -> None:
        """Say 404 without the internal token, as if there was nothing."""
        token = self._fleet.secrets.internal_token(time.monotonic())
        given = headers.get("x-folio-token", "")
        if not token or not hmac.compare_digest(given.encode(), token.encode()):
            raise Trouble("UnknownPath", f"there is no {path}")

    async def _refuse(self, path: str, trouble: Trouble, request_id: str, send: Send) -> None:
        shape = trouble.shape
        known = path in PATHS or path == EXPLAIN_PATH
        self._metrics.requests[path if known else "other", str(shape.status)].inc()
        base = self._base(request_id, trouble.revision)
        headers = [*base, _JSON, (b"x-folio-reason", trouble.kind.encode())]
        if trouble.retry_after_seconds is not None:
            headers.append((b"retry-after", str(trouble.retry_after_seconds).encode()))
        if shape.status == 405:
            headers.append((b"allow", b"POST" if known else b"GET, HEAD"))
        if shape.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await send_whole(send, shape.status, trouble.body(), tuple(headers))

    def _base(self, request_id: str, revision: bytes | None = None) -> tuple[Header, ...]:
        held = revision or self._keeper.revision
        return ((b"x-folio-revision", held), (b"x-folio-request-id", request_id.encode()))

    def _new_id(self) -> str:
        return f"{self._id_prefix}{next(self._ids):x}"


def _given_id(headers: Mapping[str, str]) -> str | None:
    """Return the client's own request id, if it can stand in headers and logs."""
    given = headers.get("x-folio-request-id") or headers.get("x-request-id") or ""
    return given if 0 < len(given) <= MAX_ID_CHARACTERS and _ID_CHARACTERS.issuperset(given) else None


def read_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers by lower-case name; repeated ones as one list, unless they must not be repeated."""
    headers: dict[str, str] = {}
    size = count = 0
    for name, value in raw:
        text = name.decode("latin-1")
        if text in headers and name in _SINGLE:
            raise Trouble("Malformed", f"header {text} is there twice", text)
        said = value.decode("latin-1")
        headers[text] = f"{headers[text]}, {said}" if text in headers else said
        size += len(name) + len(value)
        count += 1
    if size > MAX_HEADER_BYTES or count > MAX_HEADERS:
        raise Trouble("TooLarge", f"more than {MAX_HEADERS} headers or {MAX_HEADER_BYTES} bytes of them")
    return headers


def check_post(method: str, headers: Mapping[str, str]) -> None:
    if method != "POST":
        raise Trouble("Method", "this path is asked with POST")
    media_type = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Trouble("MediaType", f"content-type must be application/json, not {media_type[:64]}")
    if headers.get("content-encoding", "identity") != "identity":
        raise Trouble("MediaType", "compressed bodies are not read; send it as it is")
    length = headers.get("content-length")
    if length is not None and not (length.isascii() and length.isdigit()):
        raise Trouble("Malformed", "content-length must be a whole number", "content-length")
    if length is not None and (len(length) > MAX_LENGTH_DIGITS or int(length) > MAX_BODY_BYTES):
        raise Trouble("TooLarge", f"the body is larger than {MAX_BODY_BYTES} bytes")


async def read_body(receive: Receive, headers: Mapping[str, str]) -> bytes:
    """Return the body; raises for one that is too large or not as long as it says."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts = [body]
        size = len(body)
        while message.get("more_body"):
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > MAX_BODY_BYTES:
                raise Trouble("TooLarge", f"the body is larger than {MAX_BODY_BYTES} bytes")
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise asyncio.CancelledError
    if len(body) > MAX_BODY_BYTES:
        raise Trouble("TooLarge", f"the body is larger than {MAX_BODY_BYTES} bytes")
    if not body:
        raise Trouble("Malformed", "the body is empty; it must be a JSON object")
    length = headers.get("content-length")
    if length is not None and int(length) != len(body):
        raise Trouble("Malformed", "content-length is not the length of the body", "content-length")
    return body


async def until_left(answer: Awaitable[None], receive: Receive) -> None:
    """Await the answer; when the client leaves before, cancel it down to the connections of its models."""
    task = asyncio.current_task()
    assert task is not None
    watch = asyncio.get_running_loop().create_task(_cancel_when_left(receive, task))
    try:
        await answer
    finally:
        watch.cancel()


async def _cancel_when_left(receive: Receive, task: asyncio.Task[Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()


async def send_whole(send: Send, status: int, body: bytes, headers: tuple[Header, ...]) -> None:
    start = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body, "more_body": False})

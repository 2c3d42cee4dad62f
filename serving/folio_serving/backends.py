"""What stands behind a model's name: replicas of our own, or a provider outside. Both are asked alike.

A provider reports no signals: what a replica's wrapper does for our own models is done here, with the same
code.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson

from folio_api.table import External, Model
from folio_serving.confidence import MODEL_HEADER, SIGNALS_HEADER, Signals, parse_signals
from folio_serving.engines.signals import Asked, Wanted, read_answer, rewrite
from folio_serving.engines.stream_signals import StreamSignals
from folio_serving.provider_events import ProviderEvents
from folio_serving.rates import Rates
from folio_serving.replicas import Address
from folio_serving.secrets import Secrets
from folio_serving.upstream import PROVIDER_IDLE_SECONDS, Endpoint, Pool

_SIGNALS = SIGNALS_HEADER.encode()
_OBJECT = re.compile(rb"data: ?\{")
EMBEDDINGS = "/v1/embeddings"


@dataclass(frozen=True, slots=True)
class Call:
    """One request to one model."""

    path: str
    """`/v1/chat/completions` and the like."""
    body: dict[str, Any]
    """With the model's portfolio name as `model`."""
    wanted: Wanted
    request_id: str
    prompt_tokens: int = 0
    """By estimate, of every prompt of a list, and with what the rung is shown."""


class Translation(Protocol):
    """What a backend does with an answer before anybody else reads it."""

    def whole(self, headers: Mapping[bytes, bytes], body: bytes) -> tuple[bytes, Signals]:
        """Return a whole answer as the client shall get it, and its signals."""

    def chunk(self, data: bytes) -> bytes:
        """Return a piece of a stream as a replica would have sent it."""

    def last(self) -> bytes:
        """Return what is left when the stream ended."""

    def said_tokens(self) -> int | None:
        """Return the tokens that a stream said so far; None where its events are the best guess."""

    def leave(self) -> None:
        """Count a stream that is left, wherever it stands."""


class Backend(Protocol):
    """One model's way to its answers."""

    model: Model
    pool: Pool

    def refusal(self, call: Call) -> str | None:
        """Return why the model must not be asked just now; None when it may."""

    def request(self, endpoint: Endpoint, call: Call) -> tuple[bytes, Translation]:
        """Return the request as bytes, and how to read its answer."""

    def quotable(self, said: bytes) -> bytes:
        """Return what the model's server said as others may read it."""


class AsReplica:
    """A replica of ours: its header and comments say everything, its bytes pass unread."""

    def whole(self, headers: Mapping[bytes, bytes], body: bytes) -> tuple[bytes, Signals]:
        return body, parse_signals(headers.get(_SIGNALS, b"").decode("latin-1"))

    def chunk(self, data: bytes) -> bytes:
        return data

    def last(self) -> bytes:
        return b""

    def said_tokens(self) -> int | None:
        return None

    def leave(self) -> None:
        pass


AS_REPLICA = AsReplica()


class ReplicaBackend:
    """A model that a Serve application of ours answers for."""

    def __init__(self, model: Model, pool: Pool, secrets: Secrets) -> None:
        self.model = model
        self.pool = pool
        self._secrets = secrets
        self._name = model.name

    def refusal(self, call: Call) -> str | None:  # noqa: ARG002 - the Protocol's
        return None

    def request(self, endpoint: Endpoint, call: Call) -> tuple[bytes, Translation]:
        body = orjson.dumps(call.body)
        token = self._secrets.internal_token(time.monotonic()) or ""
        head = (
            f"POST {call.path} HTTP/1.1\r\nhost: {endpoint.address.host}\r\n"
            "content-type: application/json\r\n"
            f"{MODEL_HEADER}: {self._name}\r\n"
            f"x-folio-token: {token}\r\n{SIGNALS_HEADER}: {wanted_header(call.wanted)}\r\n"
            f"x-folio-request-id: {call.request_id}\r\nx-request-id: {call.request_id}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode("latin-1") + body, AS_REPLICA

    def quotable(self, said: bytes) -> bytes:
        return said


def wanted_header(wanted: Wanted) -> str:
    if not wanted.logprobs:
        return "usage"
    return f"logprobs;at={wanted.at}" if wanted.at is not None else "logprobs"


class ProviderBackend:
    """An OpenAI-compatible model outside, with its own name, key, certificate and limits."""

    def __init__(self, model: Model, secrets: Secrets, rates: Rates) -> None:
        assert model.external is not None
        self.model = model
        self._external: External = model.external
        self._secrets = secrets
        self._rates = rates
        url = urlsplit(self._external.base_url)
        tls = url.scheme == "https"
        self._base_path = url.path.rstrip("/")
        self._host = url.netloc
        self.pool = Pool(
            max_ongoing=model.max_ongoing_requests,
            max_queued=model.max_queued_requests,
            tls=tls_context(secrets, self._external.ca_file) if tls else None,
        )
        port = url.port or (443 if tls else 80)
        self.pool.update([Address(model.name, url.hostname or "", port)], PROVIDER_IDLE_SECONDS)

    def refusal(self, call: Call) -> str | None:
        return self._rates.refusal(call.prompt_tokens, time.monotonic())

    def request(self, endpoint: Endpoint, call: Call) -> tuple[bytes, Translation]:  # noqa: ARG002
        body, asked = rewrite(
            call.path,
            orjson.dumps({**call.body, "model": self._external.model}),
            call.wanted,
            reasoning=False,
        )
        asked = replace(asked, prompt_tokens=call.prompt_tokens)
        return self._head("POST", call.path, len(body)) + body, AsProvider(
            self.model.name, asked, self._rates, "data" if call.path == EMBEDDINGS else "choices"
        )

    def quotable(self, said: bytes) -> bytes:
        """Return it without the key, which an error may repeat."""
        secret = self._secret()
        return said.replace(secret.encode(), b"***") if secret else said

    @property
    def paid_canary(self) -> bool:
        return self._external.canary == "Paid"

    def listing(self) -> bytes:
        """Return the request for the provider's list of models, which costs nothing."""
        return self._head("GET", "/v1/models", 0)

    def _head(self, method: str, path: str, length: int) -> bytes:
        secret = self._secret()
        authorization = f"authorization: Bearer {secret}\r\n" if secret else ""
        head = (
            f"{method} {self._base_path}{path.removeprefix('/v1')} HTTP/1.1\r\nhost: {self._host}\r\n"
            f"content-type: application/json\r\naccept-encoding: identity\r\nuser-agent: folio\r\n"
            f"{authorization}content-length: {length}\r\n\r\n"
        )
        return head.encode("latin-1")

    def _secret(self) -> str | None:
        key = self._external.api_key_file
        return self._secrets.read(key, time.monotonic()) if key else None


class AsProvider:
    """A provider's answer: signals are read out of it, and it gets the portfolio's name for the model."""

    def __init__(self, name: str, asked: Asked, rates: Rates, member: str) -> None:
        self._name = name
        self._asked = asked
        self._member = member
        """What a whole answer must hold, to be one."""
        self._rates = rates
        started = time.monotonic()
        self._stream = StreamSignals(asked, lambda: time.monotonic() - started)
        self._events = ProviderEvents()
        self._names: bytes | None = None
        self._pending_return = b""
        self._is_counted = False

    def whole(self, headers: Mapping[bytes, bytes], body: bytes) -> tuple[bytes, Signals]:  # noqa: ARG002
        insist_on_answer(body, self._member)
        body, signals = read_answer(body, self._asked)
        self._rates.spent(signals.completion or 0, time.monotonic())
        return renamed(body, self._name), signals

    def chunk(self, data: bytes) -> bytes:
        data = self._pending_return + data
        cut = len(data) - data.endswith(b"\r")
        self._pending_return = data[cut:]
        events = self._events.feed(data[:cut].replace(b"\r\n", b"\n"))
        return self._named(self._stream.feed(events)) if events else b""

    def last(self) -> bytes:
        events = self._stream.feed(self._events.flush()) + self._stream.flush()
        self.leave()
        return self._named(events)

    def said_tokens(self) -> int:
        return self._stream.completion()

    def leave(self) -> None:
        if not self._is_counted:
            self._is_counted = True
            self._rates.spent(self.said_tokens(), time.monotonic())

    def _named(self, events: bytes) -> bytes:
        """Return the events with our name; every event of a stream carries the same member, so it is parsed
        once.
        """
        if self._names is None:
            self._names = _named_in(events)
        if not self._names:
            return events
        ours = b'"model":' + orjson.dumps(self._name)
        return events.replace(b'"model":' + self._names, ours).replace(b'"model": ' + self._names, ours)


def _named_in(events: bytes) -> bytes | None:
    """Return the model's name there as JSON, nothing where events have none; None where it is yet to come.

    A first event may leave it empty, as Azure's does, which tells of filters alone.
    """
    for line in events.split(b"\n"):
        if _OBJECT.match(line):
            theirs = orjson.loads(line.removeprefix(b"data:")).get("model")
            if theirs != "":
                return orjson.dumps(theirs) if theirs else b""
    return None


def insist_on_answer(body: bytes, member: str) -> None:
    """Raise ValueError for a body that came with a 200 and is no answer: a login page, an error, half an
    object.
    """
    answer = orjson.loads(body)
    entries = answer.get(member) if isinstance(answer, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"there are no {member} in it")
    if not all(isinstance(one, dict) and isinstance(one.get("message", {}), dict) for one in entries):
        raise ValueError(f"its {member} are no objects")


def renamed(body: bytes, name: str) -> bytes:
    """Return an answer under the portfolio's name for its model; what is no JSON object stays as it is."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    return orjson.dumps({**answer, "model": name}) if isinstance(answer, dict) and "model" in answer else body


def tls_context(secrets: Secrets, ca_file: str | None) -> ssl.SSLContext:
    """Return the context for a provider: the system's authorities, or the one that the portfolio names."""
    path = secrets.path(ca_file) if ca_file else None
    return ssl.create_default_context(cafile=str(path) if path is not None and Path(path).is_file() else None)

"""The gateway of a running portfolio, as this command asks it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import ValidationError

from folio_api.table import GatewayState

TOKEN_HEADER = "x-folio-token"  # noqa: S105 - the name of a header
STATE_SECONDS = 5.0
ROUTE_SECONDS = 15.0
ANSWER_SECONDS = 600.0


class GatewayError(Exception):
    """The gateway does not answer, or says no; the message is its own."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class GatewayApi:
    """A gateway, and the token that opens its internal state."""

    url: str
    token: str = ""
    api_key: str = ""

    def state(self) -> GatewayState | None:
        """Return what the gateway says of itself and of every model; None while it does not answer."""
        try:
            answer = self._get("/internal/state", STATE_SECONDS, {TOKEN_HEADER: self.token})
            return GatewayState.model_validate(answer)
        except (GatewayError, ValidationError):
            return None

    def route(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
        """Return how the gateway would route this request."""
        return self._post("/v1/folio/route", ROUTE_SECONDS, body, headers)

    @contextmanager
    def stream(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Ask for a chat completion and hand over the response as it comes."""
        url = f"{self.url}/v1/chat/completions"
        with (
            httpx.Client(timeout=ANSWER_SECONDS, trust_env=False) as client,
            _named_errors(),
            client.stream("POST", url, json=body, headers={**self._key(), **headers}) as response,
        ):
            if response.is_error:
                response.read()
                raise GatewayError(error_message(response), response.status_code)
            yield response

    def chat(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> httpx.Response:
        """Return the whole answer to a chat completion."""
        return self._send("POST", "/v1/chat/completions", ANSWER_SECONDS, body, headers)

    def _get(self, path: str, seconds: float, headers: Mapping[str, str]) -> dict[str, Any]:
        return _object(self._send("GET", path, seconds, None, headers))

    def _post(self, path: str, seconds: float, body: Any, headers: Mapping[str, str]) -> dict[str, Any]:
        return _object(self._send("POST", path, seconds, body, headers))

    def _send(
        self, method: str, path: str, seconds: float, body: Any, headers: Mapping[str, str]
    ) -> httpx.Response:
        with _named_errors():
            response = httpx.request(
                method,
                f"{self.url}{path}",
                json=body,
                headers={**self._key(), **headers},
                timeout=seconds,
                trust_env=False,
            )
        if response.is_error:
            raise GatewayError(error_message(response), response.status_code)
        return response

    def _key(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except httpx.ConnectError as error:
        raise GatewayError("nothing answers there: is `folio up` running?") from error
    except UnicodeEncodeError as error:
        raise GatewayError("the key has a character that no header may hold") from error
    except httpx.HTTPError as error:
        raise GatewayError(f"the gateway broke off: {error or type(error).__name__}") from error


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        return dict(response.json())
    except (ValueError, TypeError) as error:
        raise GatewayError(f"that is no gateway of Folio: it says {response.text[:80]!r}") from error


def error_message(response: httpx.Response) -> str:
    """Return the message of an OpenAI error body, or what there is instead."""
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code} {response.text[:200]}".strip()

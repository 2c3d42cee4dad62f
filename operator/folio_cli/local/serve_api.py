"""Ray Serve's REST API: one PUT of the whole configuration, one GET of what became of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from folio_operator.serve_config import ServeConfig
from folio_operator.world import Application

PATH = "/api/serve/applications/"
PUT_SECONDS = 90.0
"""The first PUT starts Serve itself."""
GET_SECONDS = 15.0
PUT_ATTEMPTS = 4
PUT_PAUSE_SECONDS = 2.0


class ServeError(Exception):
    """Serve does not answer, or refuses what it was sent: saying that again is no use."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True)
class ServeApi:
    """Serve of one portfolio, reached at Ray's dashboard with Ray's token."""

    dashboard_port: int
    token: str

    def put(self, config: ServeConfig) -> None:
        """Make this the whole desired state; said again if the dashboard, busy with starting, hangs up."""
        for attempt in range(PUT_ATTEMPTS):
            try:
                self._ask("PUT", PATH, PUT_SECONDS, config)
            except ServeError as error:
                if error.refused or attempt == PUT_ATTEMPTS - 1:
                    raise
                time.sleep(PUT_PAUSE_SECONDS)
            else:
                return

    def applications(self) -> dict[str, Application]:
        """Return what Serve says of every application."""
        answer = self._ask("GET", PATH, GET_SECONDS)
        found: Mapping[str, Any] = answer.get("applications") or {}
        return {name: _application(name, seen) for name, seen in found.items()}

    def is_up(self) -> bool:
        """Whether Ray's dashboard answers."""
        try:
            self._ask("GET", "/api/version", GET_SECONDS)
        except ServeError:
            return False
        return True

    def _ask(self, method: str, path: str, seconds: float, content: Any = None) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.dashboard_port}{path}"
        headers = {"authorization": f"Bearer {self.token}"}
        transport = httpx.HTTPTransport(retries=2)
        try:
            with httpx.Client(transport=transport, headers=headers, timeout=seconds) as client:
                answer = client.request(method, url, json=content)
        except httpx.HTTPError as error:
            raise ServeError(f"Ray's dashboard does not answer: {error or type(error).__name__}") from error
        if answer.status_code != httpx.codes.OK:
            message = f"Ray's dashboard answers {answer.status_code}: {answer.text[:400]}"
            raise ServeError(message, refused=answer.is_client_error)
        return dict(answer.json()) if answer.content else {}


def _application(name: str, seen: Mapping[str, Any]) -> Application:
    deployments = (seen.get("deployments") or {}).values()
    replicas = [replica for each in deployments for replica in each.get("replicas") or ()]
    return Application(
        name=name,
        state=seen["status"],
        message=_message(seen, deployments),
        replicas=sum(replica.get("state") == "RUNNING" for replica in replicas),
    )


def _message(seen: Mapping[str, Any], deployments: Any) -> str:
    """Return the most telling message: a deployment's traceback rather than the application's summary."""
    told = [str(each["message"]) for each in deployments if each.get("message")]
    return told[0] if told else str(seen.get("message") or "")

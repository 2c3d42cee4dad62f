"""What is measured under Ray Serve: the whole gateway, and a bare pass-through beside it."""

from __future__ import annotations

from typing import Any

import aiohttp
from ray import serve
from ray.serve import Application

from folio_serving.counter import OwnCounter
from folio_serving.fleet import Fleet
from folio_serving.ledger import RequestLog
from folio_serving.process import GatewayProcess
from folio_serving.replicas import Address, Listener, StaticReplicas
from folio_serving.secrets import Secrets


class MeasuredGateway:
    """The gateway in full; only where its models listen is told beforehand."""

    def __init__(self, port: int) -> None:
        def replicas(listener: Listener) -> StaticReplicas:
            return StaticReplicas({"model-small": (Address("1", "127.0.0.1", port),)}, listener)

        self._process = GatewayProcess(
            "measured", Fleet(Secrets.of_environment(), replicas), RequestLog(), OwnCounter()
        )
        self._process.app.server_cancels = True

    async def reconfigure(self, config: dict[str, Any]) -> None:
        await self._process.reconfigure(config)

    def __serve_build_asgi_app__(self) -> Any:
        return self._process.app


class PassThrough:
    """ASGI: sends a request on and the answer back, and looks at neither."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await lifespan(receive, send)
            return
        body = (await receive())["body"]
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        headers = {"content-type": "application/json"}
        async with self._session.post(self._url + scope["path"], data=body, headers=headers) as answer:
            kind = answer.headers["content-type"].encode()
            await send(
                {"type": "http.response.start", "status": answer.status, "headers": [(b"content-type", kind)]}
            )
            async for chunk in answer.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def lifespan(receive: Any, send: Any) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


class ServePassThrough:
    def __init__(self, port: int) -> None:
        self._app = PassThrough(port)

    def __serve_build_asgi_app__(self) -> PassThrough:
        return self._app


def gateway(args: dict[str, int]) -> Application:
    options = {"name": "Gateway", "logging_config": {"enable_access_log": False}}
    return serve.deployment(serve.ingress()(MeasuredGateway)).options(**options).bind(args["port"])


def pass_through(args: dict[str, int]) -> Application:
    return serve.deployment(serve.ingress()(ServePassThrough)).options(name="Gateway").bind(args["port"])

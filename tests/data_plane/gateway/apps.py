"""Serve applications whose models are played: real Serve, real HTTP, the real guard, and answers as told."""

from __future__ import annotations

import json
from typing import Any

from ray import serve
from ray.serve import Application
from tests.integration.gateway.models import Models, Plays

from folio_serving.engines.guard import Guard, TokenFile


class PlayedReplica:
    """One replica; `user_config` says how the models of the application behave."""

    def __init__(self) -> None:
        self._models = Models(spares_canaries=True)

    def reconfigure(self, config: dict[str, Any]) -> None:
        self._models.plays = {name: Plays(**play) for name, play in config.get("plays", {}).items()}

    def __serve_build_asgi_app__(self) -> Guard:
        return Guard(Counted(self._models), TokenFile.of_environment())


class Counted:
    """Adds a page that says what is running."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["path"] == "/stats":
            models = self._models
            stats = {"running": models.running, "cancelled": models.cancelled, "asked": len(models.asked)}
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(stats).encode()})
        else:
            await self._models(scope, receive, send)


def played_model(args: dict[str, Any]) -> Application:
    deployment = serve.deployment(serve.ingress()(PlayedReplica))
    return deployment.options(name="Model", ray_actor_options={"num_cpus": 0.1}).bind()

"""One replica of a vLLM model: starts the engine through ray.serve.llm and wraps its native HTTP app.

A plain class. Nothing of the engine is imported before the constructor runs: the environment that it needs
must stand first, and whoever only builds the application shall not pay for it.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from folio_api.spec import ModelConfig, ModelSpec
from folio_serving.engines.busy import BusyClock
from folio_serving.engines.guard import Guard, TokenFile
from folio_serving.engines.identified import Identified
from folio_serving.engines.reporting import Reporting
from folio_serving.engines.vllm.absent import AbsentAdapters
from folio_serving.engines.vllm.adapters import Adapters
from folio_serving.engines.vllm.departure import Departure
from folio_serving.engines.vllm.settings import settings
from folio_serving.sources import HubModel

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp


class VLLMReplica:
    """What Serve holds: it calls `reconfigure` with the adapters and `check_health` every few seconds."""

    async def __init__(self, spec: ModelSpec) -> None:  # type: ignore[misc]
        chosen = settings(spec)
        os.environ.update(chosen.environment)
        if chosen.hub is not None:
            await asyncio.to_thread(_fetch, spec, chosen.hub)
        from folio_serving.engines.vllm import engine  # noqa: PLC0415 - reads the environment at import

        self._engine = await engine.started(chosen)
        self._native: FastAPI = await self._engine.build_asgi_app()
        self._adapters = Adapters(
            engine.LoRA(self._native.state.openai_serving_models, slots=spec.lora is not None)
        )
        self._reasoning = chosen.reasoning
        self._identity = spec.identity

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        explained = AbsentAdapters(Departure(self._native), self._adapter_reasons)
        reporting = Reporting(explained, BusyClock(), reasoning=self._reasoning)
        identified = Identified(reporting, self._identity, self._adapters.identities)
        return Guard(identified, TokenFile.of_environment())

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Make the adapters those of the configuration; Serve sends it again to every new replica."""
        await self._adapters.want(ModelConfig.model_validate(config))

    async def check_health(self) -> None:
        await self._engine.check_health()
        await self._adapters.settle()

    async def __del__(self) -> None:
        engine = getattr(self, "_engine", None)
        if engine is not None:
            await engine.shutdown()

    def _adapter_reasons(self) -> dict[str, str]:
        return {name: failure.reason for name, failure in self._adapters.failures.items()}


def _fetch(spec: ModelSpec, model: HubModel) -> None:
    """Fetch the files here, where somebody can be told of it: within the engine's start nobody can."""
    from ray import serve  # noqa: PLC0415

    from folio_serving.downloads import Notice  # noqa: PLC0415
    from folio_serving.hub import fetch  # noqa: PLC0415

    here = serve.get_replica_context()
    with Notice(here.app_name, here.replica_tag, f"hf://{model.repository}") as notice:
        fetch(model, notice.tell, spec.engine_args)

"""The engine itself, through ray.serve.llm: imported in replicas only, for its seconds and half gigabyte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.serve.llm import LLMConfig, LLMServer
from vllm.entrypoints.serve.lora.protocol import LoadLoRAAdapterRequest, UnloadLoRAAdapterRequest

from folio_serving.engines.vllm.adapters import AdapterRefused
from folio_serving.engines.vllm.settings import Settings


class _Server(LLMServer):  # type: ignore[misc]
    """Ray's server without its telemetry actor, 250 MB a cluster."""

    async def _start_engine(self) -> None:
        await self.engine.start()


async def started(chosen: Settings) -> Any:
    """Return the running engine. For local files there is no download task, which would import vLLM too."""
    config = LLMConfig(**chosen.llm_config)
    config.get_or_create_callback().ctx.run_init_node = chosen.hub is not None
    server = _Server.sync_init(config)
    await server.start()
    return server.engine


class LoRA:
    """AdapterEngine on vLLM's own registry of models, which its HTTP app answers from."""

    def __init__(self, models: Any, *, slots: bool) -> None:
        self._models = models
        self._slots = slots

    async def load(self, name: str, path: Path) -> None:
        if not self._slots:
            raise AdapterRefused("its base model has no slots for adapters; set vllm.lora of the base")
        request = LoadLoRAAdapterRequest(lora_name=name, lora_path=str(path))
        answer = await self._models.load_lora_adapter(request)
        if not isinstance(answer, str):
            raise AdapterRefused(answer.error.message)

    async def unload(self, name: str) -> None:
        await self._models.unload_lora_adapter(UnloadLoRAAdapterRequest(lora_name=name))

"""LoRA adapters of a running engine: what is loaded becomes what is wanted, in place.

An adapter that cannot be loaded is a reason under its name and never the end of its base. Plan, then act.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from folio_api.spec import Adapter, ModelConfig
from folio_serving.sources import SourceError, local_path

logger = logging.getLogger(__name__)

_CONFIG_FILE = "adapter_config.json"


class AdapterRefused(Exception):  # noqa: N818 - a reason, said to whoever asks for the adapter
    """The engine would not load an adapter."""


class AdapterEngine(Protocol):
    """What the engine does for adapters. `load` raises AdapterRefused."""

    async def load(self, name: str, path: Path) -> None: ...

    async def unload(self, name: str) -> None: ...


@dataclass(frozen=True)
class Plan:
    unload: tuple[str, ...]
    load: tuple[Adapter, ...]


def plan(loaded: Mapping[str, Adapter], wanted: Iterable[Adapter]) -> Plan:
    """Return what has to happen; an adapter with another source, rank or identity is another adapter."""
    by_name = {adapter.name: adapter for adapter in wanted}
    stale = tuple(name for name, adapter in loaded.items() if by_name.get(name) != adapter)
    missing = tuple(adapter for name, adapter in by_name.items() if loaded.get(name) != adapter)
    return Plan(unload=stale, load=missing)


@dataclass(frozen=True)
class Failure:
    """Why an adapter is not there, and what its files were then: it is tried again when they change."""

    adapter: Adapter
    reason: str
    signature: int | None


class Adapters:
    """The adapters of one engine. Level-triggered: `settle` may be called at any time, and often."""

    def __init__(self, engine: AdapterEngine) -> None:
        self._engine = engine
        self._wanted: tuple[Adapter, ...] = ()
        self._loaded: dict[str, Adapter] = {}
        self._failures: dict[str, Failure] = {}
        self._settling = asyncio.Lock()  # a health check may meet a new configuration

    @property
    def failures(self) -> Mapping[str, Failure]:
        return self._failures

    def identities(self) -> Mapping[str, str]:
        return {name: adapter.identity for name, adapter in self._loaded.items()}

    async def want(self, config: ModelConfig) -> None:
        self._wanted = config.adapters
        await self.settle()

    async def settle(self) -> None:
        """Unload what is not wanted, load what is missing; what failed waits until its files change."""
        async with self._settling:
            await self._settle()

    async def _settle(self) -> None:
        todo = plan(self._loaded, self._wanted)
        for name in todo.unload:
            await self._engine.unload(name)
            del self._loaded[name]
        self._failures = {
            each.adapter.name: each for each in self._failures.values() if each.adapter in todo.load
        }
        for adapter in todo.load:
            known = self._failures.get(adapter.name)
            if known is None or known.signature != _signature(adapter):
                await self._load(adapter)

    async def _load(self, adapter: Adapter) -> None:
        try:
            await self._engine.load(adapter.name, local_path(adapter.source.uri))
        except (SourceError, AdapterRefused) as error:
            logger.warning("adapter %s is not loaded: %s", adapter.name, error)
            self._failures[adapter.name] = Failure(adapter, str(error), _signature(adapter))
        else:
            logger.info("adapter %s is loaded from %s", adapter.name, adapter.source.uri)
            self._loaded[adapter.name] = adapter
            self._failures.pop(adapter.name, None)


def _signature(adapter: Adapter) -> int | None:
    try:
        return (local_path(adapter.source.uri) / _CONFIG_FILE).stat().st_mtime_ns
    except (SourceError, OSError):
        return None

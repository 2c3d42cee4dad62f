"""One replica of an encoder. A plain class; onnxruntime is imported in the constructor.

The CPU work runs in one thread of its own, so that the event loop keeps answering: onnxruntime uses one
thread, and a second one would only wait for the same core.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from folio_api.spec import ModelConfig, ModelSpec
from folio_serving.engines.busy import BusyClock
from folio_serving.engines.guard import Guard, TokenFile
from folio_serving.engines.identified import Identified
from folio_serving.engines.light import Embedded, LightApp, Reply
from folio_serving.errors import Trouble

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from folio_serving.classify.minilm import Embedder, Embeddings

Given = TypeVar("Given")
Found = TypeVar("Found")

PIECE = 8
"""Texts of one turn in the thread: a request with thousands of inputs lets others in between."""


@dataclass(frozen=True)
class NamedVectors:
    """Vectors, and the identity of the embedder that they mean something under."""

    embedder: str
    vectors: list[list[float]]


class EncoderReplica:
    """What Serve holds. Other applications call `embed` and `embed_named` by its handle."""

    def __init__(self, spec: ModelSpec) -> None:
        from folio_serving.engines.encoder.heads import abilities  # noqa: PLC0415 - the build task stays light

        self._spec = spec
        self._abilities = abilities(spec)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        app = LightApp(self._spec.name, self, BusyClock())
        return Guard(Identified(app, self._spec.identity), TokenFile.of_environment())

    def reconfigure(self, config: dict[str, Any]) -> None:
        ModelConfig.model_validate(config)  # nothing of it is an encoder's to apply

    async def reply(self, text: str) -> Reply:
        labeller = self._abilities.labeller
        if labeller is None:
            raise Trouble(
                "Unsupported", f"{self._spec.name} makes embeddings only: ask /v1/embeddings", "model"
            )
        found = labeller.label(text) if labeller.quick else await self._in_thread(labeller.label, text)
        return Reply(found.label, found.confidence, found.prompt_tokens)

    async def embedded(self, texts: Sequence[str]) -> Embedded:
        pieces = await self._pieces(texts)
        rows = [row.astype("<f4").tobytes() for piece in pieces for row in piece.vectors]
        return Embedded(rows, tokens=sum(piece.tokens for piece in pieces))

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [row.tolist() for piece in await self._pieces(texts) for row in piece.vectors]

    async def embed_named(self, texts: Sequence[str]) -> NamedVectors:
        return NamedVectors(self._embedder().config.identity, await self.embed(texts))

    def _embedder(self) -> Embedder:
        if self._abilities.embedder is None:
            raise Trouble("Unsupported", f"{self._spec.name} labels texts: ask /v1/chat/completions", "model")
        return self._abilities.embedder

    async def _pieces(self, texts: Sequence[str]) -> list[Embeddings]:
        embedder = self._embedder()
        starts = range(0, len(texts), PIECE)
        return [await self._in_thread(embedder.embed_counted, texts[at : at + PIECE]) for at in starts]

    async def _in_thread(self, work: Callable[[Given], Found], given: Given) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, given)

"""One replica of a retriever. A plain class; LanceDB is imported in the constructor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from folio_api.spec import MODEL_DEPLOYMENT, ModelConfig, ModelSpec
from folio_serving.engines.busy import BusyClock
from folio_serving.engines.encoder.replica import NamedVectors
from folio_serving.engines.guard import Guard, TokenFile
from folio_serving.engines.identified import Identified
from folio_serving.engines.light import LightApp
from folio_serving.errors import Trouble
from folio_serving.sources import local_path

if TYPE_CHECKING:
    from starlette.types import ASGIApp

EMBED_SECONDS = 5.0
"""How long a question waits for its vector. An embedder that sleeps wakes meanwhile."""


class RetrieverReplica:
    """What Serve holds."""

    def __init__(self, spec: ModelSpec) -> None:
        from folio_serving.engines.retriever.answering import Answering  # noqa: PLC0415 - the build task stays light
        from folio_serving.engines.retriever.live import LiveIndex  # noqa: PLC0415

        assert spec.retriever is not None
        self._spec = spec
        index = LiveIndex(local_path(spec.retriever.lancedb_uri))
        embedder = EmbedderApplication(spec.retriever.embedder_application)
        self._answering = Answering(spec.name, index, embedder, spec.retriever.top_k)

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        app = LightApp(self._spec.name, self._answering, BusyClock())
        return Guard(Identified(app, self._spec.identity), TokenFile.of_environment())

    def reconfigure(self, config: dict[str, Any]) -> None:
        ModelConfig.model_validate(config)  # nothing of it is a retriever's to apply


class EmbedderApplication:
    """The embedder, asked by its Serve handle: the call that also wakes it."""

    def __init__(self, application: str) -> None:
        self._application = application
        # Not checked here: the embedder may come later, and Serve gives up on a replica that fails to start.
        self._handle: Any = serve.get_deployment_handle(
            MODEL_DEPLOYMENT, app_name=application, _check_exists=False
        )

    async def vectors(self, text: str) -> NamedVectors:
        try:
            async with asyncio.timeout(EMBED_SECONDS):
                found: NamedVectors = await self._handle.embed_named.remote([text])
                return found
        except TimeoutError as error:
            raise self._unavailable(f"gave no vector within {EMBED_SECONDS:g} s") from error
        except (KeyError, RayError, RayServeException) as error:
            raise self._unavailable(f"does not answer: {type(error).__name__}") from error

    def _unavailable(self, what: str) -> Trouble:
        return Trouble("Unavailable", f"the embedder application {self._application!r} {what}")

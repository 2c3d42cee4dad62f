"""All models that the gateway's tables name, with their pools; what two tables share, they share here too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from folio_api.table import External, Model, Table
from folio_serving.asking import AskError
from folio_serving.backends import Backend, ProviderBackend, ReplicaBackend
from folio_serving.rates import Rates
from folio_serving.replicas import Address, Download, Listener, Replicas
from folio_serving.secrets import Secrets
from folio_serving.upstream import Pool

WAKE_SECONDS = 900.0
"""How long one waking is waited for; the next request starts another."""

RETIRE_SECONDS = 120.0
DOWNLOADS_SECONDS = 1.0
"""How long somebody waits who wants to know how far downloads are."""

log = logging.getLogger("folio.fleet")
ProviderKey = tuple[str, External, int]


class Fleet:
    """Backends by model, pools by application; told by `Replicas` where these answer."""

    def __init__(self, secrets: Secrets, replicas: Callable[[Listener], Replicas]) -> None:
        self.secrets = secrets
        self._pools: dict[str, Pool] = {}
        self._providers: dict[ProviderKey, ProviderBackend] = {}
        self._addresses: dict[str, tuple[Address, ...]] = {}
        self._wakes: dict[str, asyncio.Task[None]] = {}
        self._observers: list[Callable[[str], None]] = []
        self._always: frozenset[str] = frozenset()
        self._replicas = replicas(self._heard)

    def also_watch(self, application: str) -> None:
        """Listen to an application that is no model: the gateway's own replicas."""
        self._always |= {application}

    def observe(self, observer: Callable[[str], None]) -> None:
        """Call this with the application whenever its replicas changed."""
        self._observers.append(observer)

    def apply(self, tables: Iterable[Table]) -> None:
        """Make these the tables in use: pools for every application that they name, and no others."""
        models = [model for table in tables for model in table.models]
        wanted: dict[str, list[Model]] = {}
        for model in models:
            if model.application is not None:
                wanted.setdefault(model.application, []).append(model)
        for gone in self._pools.keys() - wanted.keys():
            self._retire(self._pools.pop(gone))
        outside = {_provider_key(model, model.external) for model in models if model.external is not None}
        for left in self._providers.keys() - outside:
            self._retire(self._providers.pop(left).pool)
        for application, sharing in wanted.items():
            self._resize(application, sharing)
        self._replicas.watch(self._always.union(wanted))

    def backends(self, table: Table) -> Mapping[str, Backend]:
        return {model.name: self._backend(model) for model in table.models}

    def addresses(self, application: str) -> tuple[Address, ...]:
        return self._addresses.get(application, ())

    def check_awake(self, backend: Backend) -> None:
        """Raise AskError where nobody can answer; a sleeping model is woken in the background, once."""
        application = backend.model.application
        if application is None or backend.pool.addresses:
            return
        if backend.model.scales_to_zero:
            self.wake(application)
            raise AskError("Waking", f"{backend.model.name} is waking up")
        raise AskError("Unavailable", f"{backend.model.name} has no replica")

    def wake(self, application: str) -> None:
        """Start one waking in the background, unless one is under way."""
        if application in self._wakes:
            return
        task = asyncio.get_running_loop().create_task(self._wake(application))
        self._wakes[application] = task
        task.add_done_callback(lambda _: self._wakes.pop(application, None))

    def waking(self, application: str) -> bool:
        return application in self._wakes

    async def downloads(self) -> Mapping[str, Download]:
        """Return, by application, how far replicas are that fetch files; nothing where Ray does not say."""
        try:
            async with asyncio.timeout(DOWNLOADS_SECONDS):
                return await self._replicas.downloads()
        except Exception as error:  # noqa: BLE001 - whatever Ray raises: it is asked again
            log.info("nothing is known of downloads: %r", error)
            return {}

    def close(self) -> None:
        for task in tuple(self._wakes.values()):
            task.cancel()
        self._replicas.close()
        for pool in (*self._pools.values(), *(provider.pool for provider in self._providers.values())):
            pool.close()

    def _retire(self, pool: Pool) -> None:
        """Close a pool once no request can be under way that came in under an older table."""
        asyncio.get_running_loop().call_later(RETIRE_SECONDS, pool.close)

    def _resize(self, application: str, sharing: list[Model]) -> None:
        ongoing = max(model.max_ongoing_requests for model in sharing)
        queued = max(model.max_queued_requests for model in sharing)
        pool = self._pools.get(application)
        if pool is None:
            pool = self._pools[application] = Pool(max_ongoing=ongoing, max_queued=queued)
            pool.update(self.addresses(application))
        pool.max_ongoing, pool.max_queued = ongoing, queued
        pool.lingers = not any(model.scales_to_zero for model in sharing)

    def _backend(self, model: Model) -> Backend:
        if model.external is not None:
            return self._provider(model, model.external)
        assert model.application is not None, f"{model.name} is neither external nor of an application"
        return ReplicaBackend(model, self._pools[model.application], self.secrets)

    def _provider(self, model: Model, external: External) -> ProviderBackend:
        """Return the backend that already keeps this provider's connections and counts, if there is one."""
        key = _provider_key(model, external)
        known = self._providers.get(key)
        if known is None:
            rates = Rates(external.requests_per_minute, external.tokens_per_minute)
            known = self._providers[key] = ProviderBackend(model, self.secrets, rates)
        known.model = model
        return known

    def _heard(self, application: str, addresses: tuple[Address, ...]) -> None:
        self._addresses[application] = addresses
        pool = self._pools.get(application)
        if pool is not None:
            pool.update(addresses)
        for observer in self._observers:
            observer(application)

    async def _wake(self, application: str) -> None:
        try:
            async with asyncio.timeout(WAKE_SECONDS):
                await self._replicas.wake(application)
        except Exception as error:  # noqa: BLE001 - whatever Serve raises: the next request tries again
            log.warning("waking %s failed: %r", application, error)


def _provider_key(model: Model, external: External) -> ProviderKey:
    return model.name, external, model.max_ongoing_requests

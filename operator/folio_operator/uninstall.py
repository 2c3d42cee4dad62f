"""What `helm uninstall` asks before it deletes anything, in a hook: `python -m folio_operator.uninstall`.

A portfolio that serves carries a finalizer that only the operator takes off: without it, the portfolio and
its namespace would never go. So either none is left, or the operator is stopped by its own Lease, and they
are let go of here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Literal, get_args

from folio_api.meta import Key
from folio_operator import kube, lease_store
from folio_operator.cluster import PORTFOLIO, ApiError, Body, Cluster, key_of, uid_of
from folio_operator.lease import ConflictError, LeaseStore, Record, Terms
from folio_operator.leaving import FINALIZER
from folio_operator.settings import Settings, SettingsError, from_environment

Treatment = Literal["Refuse", "Release"]
NAMED = 10
"""So many portfolios are told by name; their namespaces are told all the same."""
TRIES = 5
GONE_OR_EDITED = (404, 409, 422)
"""What a patch is answered that tests what it found: look again."""
logger = logging.getLogger("folio_operator.uninstall")


class RefusedError(Exception):
    """The release must stay; the message says why, and what to do."""


@dataclass(frozen=True)
class Release:
    """What is to be uninstalled, as Helm names it."""

    name: str
    namespace: str
    revision: str

    def command(self, verb: str, *more: str) -> str:
        return " ".join(["helm", verb, self.name, *more, "--namespace", self.namespace])


async def uninstall(
    cluster: Cluster,
    treatment: Treatment,
    release: Release,
    without_operator: Callable[[], AbstractAsyncContextManager[None]],
) -> str:
    """Return what was done of what the release's end needs, or raise RefusedError."""
    left = await _portfolios(cluster)
    if not left:
        return "no portfolio is left"
    if treatment == "Refuse":
        raise RefusedError(refusal([key_of(each) for each in left], release))
    async with without_operator():
        await _let_go(cluster)
    return (
        f"let go of {_named([key_of(each) for each in left])}: what they serve goes on until they are"
        " deleted, which a release with crds.keep=false does now"
    )


def refusal(left: Sequence[Key], release: Release) -> str:
    """Return one line: Helm shows a hook's output as one."""
    deletions = [
        f"kubectl delete modelportfolios --all --namespace {each}"
        for each in sorted({key.namespace for key in left})
    ]
    return (
        f"refused: without the operator these portfolios could never be deleted: {_named(left)}."
        f" Delete them first: {'; '.join(deletions)}; then: {release.command('uninstall')}."
        " Nothing was removed, and all goes on; to keep Folio:"
        f" {release.command('rollback', release.revision)}."
        " To have them serve on without it: uninstall.portfolios=Release, docs/guide/install.md"
    )


def _named(left: Sequence[Key]) -> str:
    names = sorted(f"{key.namespace}/{key.name}" for key in left)
    more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return ", ".join([*names[:NAMED], *more])


async def _portfolios(cluster: Cluster) -> Sequence[Body]:
    try:
        return await cluster.list(PORTFOLIO)
    except ApiError as error:
        if error.status == 404:
            return ()  # their definition went before us
        raise


async def _let_go(cluster: Cluster) -> None:
    """Take our finalizer off every portfolio, and nobody else's."""
    for _ in range(TRIES):
        held = [each for each in await _portfolios(cluster) if FINALIZER in _finalizers(each)]
        if not held:
            return
        for each in held:
            await _take_off(cluster, each)
    raise RefusedError(f"somebody puts {FINALIZER} back: does another operator serve the same namespaces?")


async def _take_off(cluster: Cluster, portfolio: Body) -> None:
    before = _finalizers(portfolio)
    operations = (
        {"op": "test", "path": "/metadata/uid", "value": uid_of(portfolio)},
        {"op": "test", "path": "/metadata/finalizers", "value": before},
        {"op": "replace", "path": "/metadata/finalizers", "value": [e for e in before if e != FINALIZER]},
    )
    try:
        await cluster.patch(PORTFOLIO, key_of(portfolio), operations)
    except ApiError as error:
        if error.status not in GONE_OR_EDITED:
            raise


def _finalizers(portfolio: Body) -> list[str]:
    return list(portfolio["metadata"].get("finalizers") or ())


def usurp(store: LeaseStore, me: str) -> Record:
    """Hold the Lease from now on, whoever held it: a leader ends at its next renewal."""
    for _ in range(TRIES):
        seen = store.read() or Record("", transitions=-1, version="")
        changes = 0 if seen.holder == me else 1
        try:
            return store.write(Record(me, seen.transitions + changes, seen.version))
        except ConflictError:
            continue  # the leader renewed in between
    raise OSError("the Lease was written by somebody else every time")


@asynccontextmanager
async def without_operator(store: LeaseStore, me: str, terms: Terms) -> AsyncIterator[None]:
    """Begin once no operator can be writing: as a standby would, after a whole term of the Lease.

    It is renewed meanwhile, and not released at the end: Helm has one more term to delete the operator.
    """
    await asyncio.to_thread(usurp, store, me)
    logger.info("%s holds the Lease: the operator stops", me)
    renewing = asyncio.create_task(_renew(store, me, terms.renew_every))
    try:
        await asyncio.sleep(terms.duration)
        yield
    finally:
        renewing.cancel()


async def _renew(store: LeaseStore, me: str, every_seconds: float) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        try:
            await asyncio.to_thread(usurp, store, me)
        except OSError as trouble:
            logger.warning("lease: %s", trouble)


async def _run(settings: Settings, treatment: Treatment, release: Release) -> str:
    cluster, terms = await kube.connect(settings.namespaces, lambda *_: None), Terms()
    store = lease_store.connect(Key(settings.lease_namespace, settings.lease_name), terms.duration)
    try:
        return await uninstall(
            cluster, treatment, release, lambda: without_operator(store, settings.identity, terms)
        )
    finally:
        await cluster.api.close()


def _treatment(environment: Mapping[str, str]) -> Treatment:
    written = environment.get("FOLIO_UNINSTALL_PORTFOLIOS", "Refuse")
    for known in get_args(Treatment):
        if written == known:
            return known  # type: ignore[no-any-return]
    raise SettingsError(f"FOLIO_UNINSTALL_PORTFOLIOS={written}: write Refuse or Release")


def main() -> None:
    """End with 0 where the release may go, else with the reason why it may not."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        settings, treatment = from_environment(os.environ), _treatment(os.environ)
    except SettingsError as error:
        sys.exit(str(error))
    release = Release(
        os.environ.get("FOLIO_RELEASE", "folio"),
        settings.lease_namespace,
        os.environ.get("FOLIO_RELEASE_REVISION", ""),
    )
    try:
        logger.info("%s", asyncio.run(_run(settings, treatment, release)))
    except RefusedError as error:
        sys.exit(str(error))
    except (ApiError, OSError) as error:
        unasked = release.command("uninstall", "--no-hooks")
        sys.exit(
            f"cannot tell whether portfolios are left, or let go of them: {error}. Without asking: {unasked}"
        )


if __name__ == "__main__":
    main()

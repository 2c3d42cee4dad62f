"""Makes the cluster what it ought to be, and writes nothing that is so already."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from folio_api.meta import Key
from folio_operator.children import Manifest
from folio_operator.cluster import (
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    OPTIONAL,
    RAY_SERVICE,
    SECRET,
    SERVICE,
    ApiError,
    Body,
    Cluster,
    Kind,
    key_of,
    kind_of,
    uid_of,
)
from folio_operator.credentials import Reader
from folio_operator.drift import is_settled, stamped
from folio_operator.store import Store

PRUNED = (RAY_SERVICE, NETWORK_POLICY, DISRUPTION_BUDGET, *OPTIONAL)
logger = logging.getLogger(__name__)


class NameConflictError(Exception):
    """A child's name belongs to somebody else, and nothing is adopted."""


@dataclass(frozen=True)
class Applier:
    """Writes the children of portfolios."""

    cluster: Cluster
    store: Store
    reader: Reader

    async def apply(self, owner: Body, manifest: Manifest) -> Body:
        """Bring one child about; return it as it is stored."""
        wanted = stamped(manifest)
        live = await self._known(owner, wanted)
        if live is None:
            return await self._create(owner, wanted)
        _refuse_others(live, owner)
        return live if is_settled(wanted, live) else await self._write(wanted)

    async def patch(self, live: Body, operations: list[Manifest]) -> None:
        self._remember(await self.cluster.patch(kind_of(live), key_of(live), operations))

    async def prune(self, owner: Body, children: Iterable[Body], wanted: Iterable[Manifest]) -> None:
        """Delete what we made and want no longer."""
        names = {(each["kind"], key_of(each).name) for each in wanted}
        for child in children:
            stays = (child["kind"], key_of(child).name) in names or kind_of(child) not in PRUNED
            if not stays and is_owned(child, owner):
                await self.delete(child)

    async def delete(self, child: Body) -> None:
        if child["metadata"].get("deletionTimestamp") is None:
            await self.cluster.delete(kind_of(child), key_of(child), uid_of(child))
            logger.info("deleted %s %s", child["kind"], key_of(child))

    async def _known(self, owner: Body, wanted: Manifest) -> Body | None:
        """Return the child as it is, as far as watches and our own looks tell."""
        kind, key = kind_of(wanted), key_of(wanted)
        return await self._secret(owner, key) if kind is SECRET else self.store.get(kind, key)

    async def _create(self, owner: Body, wanted: Manifest) -> Body:
        """Create the child without asking whether its name is free: the API server refuses where it is not.

        It may be taken by what no watch shows, for that has not our label.
        """
        kind, key = kind_of(wanted), key_of(wanted)
        if kind is RAY_SERVICE:
            await self._refuse_foreign_service(key)
        try:
            return await self._write(wanted, new=True)
        except ApiError as error:
            if error.status != 409:
                raise
            live = await self._asked(kind, key)
            if live is not None:
                _refuse_others(live, owner)
                if kind is not SECRET:
                    self.store.found(live)
                if kind in (SECRET, RAY_SERVICE):  # what it holds decides what is written of it
                    raise
        return await self._write(wanted)

    async def _write(self, wanted: Manifest, *, new: bool = False) -> Body:
        stored = await self.cluster.apply(wanted, new=new)
        logger.info("applied %s %s", wanted["kind"], key_of(wanted))
        if new and kind_of(stored) is not SECRET:
            self.store.wrote(stored)
        else:
            self._remember(stored)
        return stored

    async def _asked(self, kind: Kind, key: Key) -> Body | None:
        if kind is not SECRET:
            return await self.cluster.get(kind, key)
        self.reader.look_again(SECRET, key)
        return await self.reader.read(SECRET, key)

    async def _secret(self, owner: Body, key: Key) -> Body | None:
        """Return our Secret as it was read last; what seems to be of somebody else is asked for again: it may
        have gone with a portfolio of the same name.
        """
        known = self.reader.known(SECRET, key)
        return known if known is None or is_owned(known, owner) else await self._asked(SECRET, key)

    async def _refuse_foreign_service(self, key: Key) -> None:
        """KubeRay will make a Service of this name, and would fight whoever has it."""
        service = await self.cluster.get(SERVICE, key)
        owners = (service["metadata"].get("ownerReferences") or ()) if service else ()
        ours = any(each["kind"] == RAY_SERVICE.name and each["name"] == key.name for each in owners)
        if service is not None and not ours:
            raise NameConflictError(_conflict(SERVICE, key))

    def _remember(self, stored: Body) -> None:
        if kind_of(stored) is SECRET:
            self.reader.wrote(SECRET, key_of(stored), stored)
        else:
            self.store.put(stored)


def _conflict(kind: Kind, key: Key) -> str:
    return (
        f"the {kind.name} {key.name} belongs to somebody else, and nothing is adopted: delete or rename it,"
        " or rename the portfolio"
    )


def _refuse_others(live: Body, owner: Body) -> None:
    if is_owned(live, owner):
        return
    if _is_of_predecessor(live, owner):
        raise ApiError(409, "it goes with the portfolio of this name that was deleted", str(key_of(live)))
    raise NameConflictError(_conflict(kind_of(live), key_of(live)))


def is_owned(child: Body, owner: Body) -> bool:
    references = child["metadata"].get("ownerReferences") or ()
    return any(each["uid"] == uid_of(owner) for each in references)


def _is_of_predecessor(child: Body, owner: Body) -> bool:
    """Return whether it is garbage by now: its owner had this name, and is no more."""
    references = child["metadata"].get("ownerReferences") or ()
    return any((each["kind"], each["name"]) == (owner["kind"], key_of(owner).name) for each in references)


def with_notes(service: Manifest, notes: Mapping[str, str]) -> Manifest:
    metadata = service["metadata"]
    return {**service, "metadata": {**metadata, "annotations": {**metadata["annotations"], **notes}}}

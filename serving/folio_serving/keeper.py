"""Keeps the tables that a gateway replica answers by: an active and a candidate one, and the last good when a
new is bad.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from folio_api.table import Auth, GatewayConfig, Table
from folio_serving.canary import is_drawn
from folio_serving.errors import Trouble
from folio_serving.fleet import Fleet
from folio_serving.policy import Learned, Policy, TableError, check, learn

log = logging.getLogger("folio.keeper")


class Keeper:
    """The tables in use. An edit is prepared beside them and then takes their place at once."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._edits = asyncio.Lock()
        self.active: Policy | None = None
        self.candidate: Policy | None = None
        self._canary_percent = 0
        self.rejected: str | None = None
        self.rejected_revision: str | None = None

    @property
    def revision(self) -> bytes:
        return self.active.revision if self.active is not None else b"none"

    @property
    def held(self) -> tuple[str, ...]:
        """Return the revisions of the tables in use."""
        return tuple(one.table.revision for one in (self.active, self.candidate) if one is not None)

    @property
    def auth(self) -> Auth | None:
        """Return who may ask: the active table says it for every request."""
        return self.active.table.auth if self.active is not None else None

    def policy(self, wanted: str | None) -> Policy:
        """Return the table that answers: the active one, unless a revision is asked for by name."""
        active, candidate = self.active, self.candidate
        if active is None:
            raise Trouble("NotReady", "the gateway has no routing table yet")
        if wanted is None or wanted == active.table.revision:
            return active
        if candidate is not None and wanted == candidate.table.revision:
            return candidate
        raise Trouble(
            "Malformed",
            f"this gateway holds revision {' and '.join(self.held)}, not {wanted[:64]}",
            "x-folio-revision",
        )

    def drawn(self, key: Callable[[], bytes]) -> Policy:
        """Return the table for a client that asked for none: the candidate's for its part of all keys."""
        candidate, percent = self.candidate, self._canary_percent
        if candidate is not None and percent and is_drawn(candidate.revision, key(), percent):
            return candidate
        return self.policy(None)

    async def apply(self, config: Mapping[str, Any]) -> None:
        """Take a new configuration. A bad active table changes nothing, a bad candidate is left out; either
        is reported, and Serve must not restart us for it.
        """
        async with self._edits:
            bad, why = "active", await self._refused(config)
            if why is not None and config.get("candidate") is not None:
                without = await self._refused({**config, "candidate": None, "canary_percent": 0})
                bad = bad if without is not None else "candidate"
            self.rejected = why
            self.rejected_revision = _revision(config.get(bad)) if why is not None else None

    async def _refused(self, config: Mapping[str, Any]) -> str | None:
        """Take the configuration, or return why not."""
        try:
            await self._use(GatewayConfig.model_validate(config))
        except (ValidationError, TableError) as error:
            why = _why(error)
            log.warning("the new table is not taken: %s", why)
            return why
        return None

    async def _use(self, config: GatewayConfig) -> None:
        tables = [table for table in (config.active, config.candidate) if table is not None]
        for table in tables:
            check(table)
        learned = [await self._learned(table) for table in tables]
        self._fleet.apply(tables)
        policies = [
            Policy.of(table, learnt, self._fleet.backends(table))
            for table, learnt in zip(tables, learned, strict=True)
        ]
        self.active, self.candidate = policies[0], policies[1] if len(policies) > 1 else None
        self._canary_percent = config.canary_percent

    async def _learned(self, table: Table) -> Learned:
        """Return what the table needs; what is known from a table with the same examples is not learned
        again.
        """
        policies = [policy for policy in (self.active, self.candidate) if policy is not None]
        for policy in policies:
            if policy.table.revision == table.revision:
                return policy.learned
        known = [policy.learned for policy in policies]
        return await asyncio.get_running_loop().run_in_executor(None, learn, table, known)


def _revision(table: Any) -> str | None:
    """Return the revision of a table that nobody could read."""
    revision = table.get("revision") if isinstance(table, Mapping) else None
    return revision if isinstance(revision, str) else None


def _why(error: ValidationError | TableError) -> str:
    if isinstance(error, TableError):
        return str(error)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}"

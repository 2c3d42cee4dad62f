"""An index that may be built again while it is asked: the newest one answers, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from folio_serving.retrieve.index import INDEX_FILE, IndexHeader, IndexingError
from folio_serving.retrieve.search import Hit, Index

Signature = tuple[int, int]


class LiveIndex:
    """Reopens the index when its header's file was replaced. A broken new one: the old one is asked on."""

    def __init__(self, directory: Path) -> None:
        IndexHeader.read(directory)  # what is not there fails the replica's start, with the reason
        self._directory = directory
        self._open: Index | None = None
        self._signature: Signature | None = None
        self._opening = asyncio.Lock()

    async def current(self) -> Index:
        found = self._found()
        if self._open is None or found not in (self._signature, None):
            async with self._opening:
                await self._reopen(found)
        assert self._open is not None
        return self._open

    async def search(self, question: str, vector: Sequence[float], limit: int) -> list[Hit]:
        index = await self.current()
        try:
            return await index.search(question, vector, limit)
        except (OSError, RuntimeError, ValueError) as error:
            # The files of an index that was replaced between the look and the search are gone.
            newer = await self.current()
            if newer is index:
                raise IndexingError(f"{self._directory}: the index cannot be read: {error}") from error
            return await newer.search(question, vector, limit)

    async def _reopen(self, found: Signature | None) -> None:
        if self._open is not None and found == self._signature:
            return  # somebody else did while this one waited
        try:
            self._open = await Index.open(self._directory)
            self._signature = found
        except IndexingError:
            if self._open is None:
                raise

    def _found(self) -> Signature | None:
        try:
            status = (self._directory / INDEX_FILE).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

"""Secrets are files below one directory, read again when they change; no secret stands in a table or an
environment.
"""

from __future__ import annotations

import os
from pathlib import Path

from folio_api.spec import INTERNAL_TOKEN_FILE

SECRETS_DIR = "FOLIO_SECRETS_DIR"
DEFAULT_SECRETS_DIR = "/etc/folio/secrets"
CHECK_SECONDS = 1.0

_Signature = tuple[int, int, int]


class Secrets:
    """The files by name. `now` is a monotonic clock: a file is looked at at most once a second."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[str, tuple[float, _Signature | None, str | None]] = {}

    @classmethod
    def of_environment(cls) -> Secrets:
        return cls(Path(os.environ.get(SECRETS_DIR, DEFAULT_SECRETS_DIR)))

    def read(self, name: str, now: float) -> str | None:
        """Return a secret without the white space around it; None where there is no such file."""
        checked, signature, value = self._known.get(name, (-CHECK_SECONDS, None, None))
        if now - checked < CHECK_SECONDS:
            return value
        found = self._signature(name)
        if found != signature or found is None:
            value = self._content(name) if found is not None else None
        self._known[name] = (now, found, value)
        return value

    def stamp(self) -> int | None:
        """Return when a file came, went or was replaced last; None where the directory cannot be read."""
        try:
            return self._directory.stat().st_mtime_ns
        except OSError:
            return None

    def beginning(self, prefix: str) -> dict[str, str]:
        """Return the content of every file with this prefix by the rest of its name."""
        try:
            names = [path.name for path in self._directory.iterdir() if path.name.startswith(prefix)]
        except OSError:
            return {}
        found = ((name.removeprefix(prefix), self._content(name)) for name in sorted(names))
        return {rest: content for rest, content in found if content is not None}

    def path(self, name: str) -> Path:
        return self._directory / name

    def internal_token(self, now: float) -> str | None:
        return self.read(INTERNAL_TOKEN_FILE, now)

    def _signature(self, name: str) -> _Signature | None:
        try:
            status = self.path(name).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _content(self, name: str) -> str | None:
        try:
            return self.path(name).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None

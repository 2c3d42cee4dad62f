"""The state directory of a portfolio: what a second `folio` needs to know of the first."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from folio_api.spec import INTERNAL_TOKEN_FILE
from folio_api.table import Frozen


def state_home() -> Path:
    """Return where the state directories of all portfolios lie."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "folio"


class Ports(Frozen):
    """Every port that a local Ray and its Serve listen on; all on 127.0.0.1."""

    http: int
    gcs: int
    dashboard: int
    others: tuple[int, ...] = ()
    """Agents, object manager, HAProxy: named by `ray_head.py` alone."""
    replicas: tuple[int, int]
    """First and last port that replicas may take for HTTP; the same many above it are for gRPC."""


class Running(Frozen):
    """A portfolio that was started: enough to reach it, and to end exactly its processes."""

    portfolio: str
    session: int
    """Session id of all its processes, which is the process id of its supervisor."""
    started: float
    """When the supervisor began, by the kernel's clock: a process id alone may be somebody else's by now."""
    ports: Ports
    ray_dir: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.http}"


@dataclass(frozen=True)
class StateDir:
    """Paths below one portfolio's state directory."""

    path: Path

    @classmethod
    def of(cls, portfolio: str, override: Path | None = None) -> Self:
        return cls((override or state_home() / portfolio).absolute())

    @property
    def secrets(self) -> Path:
        return self.path / "secrets"

    @property
    def volumes(self) -> Path:
        return self.path / "volumes"

    @property
    def asked(self) -> Path:
        """What Serve was last asked for."""
        return self.path / "serve.json"

    @property
    def internal_token(self) -> Path:
        return self.secrets / INTERNAL_TOKEN_FILE

    @property
    def ray_token(self) -> Path:
        return self.path / "ray-token"

    @property
    def log(self) -> Path:
        return self.path / "ray.log"

    @property
    def applied(self) -> Path:
        return self.path / "applied.yaml"

    @property
    def running(self) -> Path:
        return self.path / "state.json"

    @property
    def ray_dir(self) -> Path:
        """Return Ray's temporary directory: short, because HAProxy takes at most 97 characters for a socket.

        Below it stand a node's id of 56 and the socket's name, which leaves 27.
        """
        digest = hashlib.sha256(str(self.path).encode()).hexdigest()[:8]
        return _short_temporary_directory() / f"fo-{digest}"

    def create(self) -> None:
        for directory in (self.path, self.secrets, self.volumes):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            directory.chmod(0o700)

    def load(self) -> Running | None:
        """Return what was started here last, or None; an unreadable file is as good as none."""
        try:
            return Running.model_validate_json(self.running.read_text())
        except (OSError, ValueError):
            return None

    def save(self, running: Running) -> None:
        write_private(self.running, running.model_dump_json(indent=2))


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner alone from its first byte."""
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


def _short_temporary_directory() -> Path:
    """Return /tmp where there is one: TMPDIR is often too long for sockets."""
    short = Path("/tmp")  # noqa: S108 - our folder in it is ours alone
    return short if os.access(short, os.W_OK) else Path(tempfile.gettempdir())


def known_portfolios() -> tuple[StateDir, ...]:
    """Return the default state directories that say something is running."""
    home = state_home()
    return tuple(StateDir(path.parent) for path in sorted(home.glob("*/state.json")))

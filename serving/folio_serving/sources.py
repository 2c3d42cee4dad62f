"""Where a model's files are: one resolver of source URIs for every engine.

`volume://NAME/path` is below the volumes directory, `file:///path` is the path itself, `hf://owner/name`
stays a hub id.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from folio_api.spec import Source

VOLUMES_DIR = "FOLIO_VOLUMES_DIR"
DEFAULT_VOLUMES_DIR = "/volumes"
LOCAL_SCHEMES = ("volume", "file")

SourceReason = Literal["NotSupported", "SourceNotFound", "PathNotFound"]
"""The URI's scheme or shape; the volume is not mounted here; the volume or machine lacks the path."""


class SourceError(Exception):
    """A source that cannot be served here: a reason for a condition, and a message with the fix."""

    def __init__(self, reason: SourceReason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


@dataclass(frozen=True)
class HubModel:
    """A model that the engine fetches by itself."""

    repository: str
    revision: str | None


def is_local(uri: str) -> bool:
    return urlsplit(uri).scheme in LOCAL_SCHEMES


def local_path(uri: str) -> Path:
    """Return the existing file or directory that a `volume://` or `file://` URI names."""
    parts = urlsplit(uri)
    if parts.scheme == "volume":
        return _volume_path(uri, parts.netloc, unquote(parts.path))
    if parts.scheme == "file":
        return _file_path(uri, parts.netloc, unquote(parts.path))
    raise SourceError("NotSupported", f"{uri}: not a local source; use volume://NAME/path or file:///path")


def hub_model(source: Source) -> HubModel:
    """Return the hub id and revision of an `hf://owner/name` source."""
    parts = urlsplit(source.uri)
    repository = f"{parts.netloc}{parts.path}".strip("/")
    if parts.scheme != "hf" or repository.count("/") != 1:
        raise SourceError("NotSupported", f"{source.uri}: not a hub model; use hf://owner/name")
    return HubModel(repository, source.revision)


def volumes_directory() -> Path:
    return Path(os.environ.get(VOLUMES_DIR, DEFAULT_VOLUMES_DIR))


def _volume_path(uri: str, volume: str, path: str) -> Path:
    inner = path.strip("/")
    if not volume or ".." in PurePosixPath(inner).parts:
        raise SourceError("NotSupported", f"{uri}: use volume://NAME/path, without '..'")
    root = volumes_directory() / volume
    if not root.is_dir():
        raise SourceError(
            "SourceNotFound",
            f"{uri}: volume {volume!r} is not mounted: {root} is no directory; add it to the pool's volumes, "
            f"or run `folio up --volume {volume}=PATH`",
        )
    found = root / inner if inner else root
    if not found.exists():
        raise SourceError("PathNotFound", f"{uri}: volume {volume!r} has no path {inner!r}")
    return found


def _file_path(uri: str, host: str, path: str) -> Path:
    if host not in ("", "localhost") or not path.startswith("/"):
        raise SourceError("NotSupported", f"{uri}: use file:///absolute/path")
    found = Path(path)
    if not found.exists():
        raise SourceError("PathNotFound", f"{uri}: no path {path} on the machine that serves the model")
    return found

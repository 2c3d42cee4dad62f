"""Where a source lies on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from folio_operator.checks.capacity import volume_of


def source_path(uri: str, volumes: Mapping[str, Path]) -> Path | None:
    """Return the path that the data plane will read; None for what is fetched or not given."""
    name = volume_of(uri)
    path = unquote(urlsplit(uri).path)
    if name is not None:
        return volumes[name] / path.strip("/") if name in volumes else None
    return Path(path) if uri.startswith("file://") else None

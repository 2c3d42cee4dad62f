"""What the policy's artifact promises, read where its file lies on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from folio_operator.checks.capacity import volume_of
from folio_operator.world import Certificate, Portfolio


def certificates(portfolio: Portfolio, volumes: Mapping[str, Path]) -> Portfolio:
    """Return the portfolio with the artifact's certificates; as it was where the file is not at hand."""
    artifact = portfolio.policy.spec.artifact if portfolio.policy else None
    path = _path(artifact.uri, volumes) if artifact else None
    if artifact is None or path is None or not path.is_file():
        return portfolio
    return replace(portfolio, certificates=_read(path))


def _path(uri: str, volumes: Mapping[str, Path]) -> Path | None:
    name = volume_of(uri)
    if name is not None:
        folder = volumes.get(name)
        return folder / uri.split("/", 3)[3] if folder else None
    return Path(urlsplit(uri).path) if uri.startswith("file://") else None


def _read(path: Path) -> tuple[Certificate, ...]:
    from folio_serving.calibration import Artifact  # noqa: PLC0415 - the data plane is not needed to plan

    try:
        artifact = Artifact.model_validate_json(path.read_bytes())
    except ValueError:
        return ()
    return tuple(
        Certificate(entry.model, entry.intent, entry.signal, held.max_error_rate, held.confidence)
        for entry in artifact.entries
        for held in entry.certificates
    )

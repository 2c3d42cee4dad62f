"""What the policy's artifact promises, read where its file lies on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from folio_cli.places import source_path
from folio_operator.world import Certificate, Portfolio


def certificates(portfolio: Portfolio, volumes: Mapping[str, Path]) -> Portfolio:
    """Return the portfolio with the artifact's certificates; as it was where the file is not at hand."""
    artifact = portfolio.policy.spec.artifact if portfolio.policy else None
    path = source_path(artifact.uri, volumes) if artifact else None
    if artifact is None or path is None or not path.is_file():
        return portfolio
    return replace(portfolio, certificates=_read(path))


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

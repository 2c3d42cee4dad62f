"""A real but tiny embedder, and an index of the test documents by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.encoder.tiny_onnx import write_embedder

from folio_serving.retrieve.index import IndexSummary, build_index

HARBOUR = Path(__file__).parent / "corpus" / "harbour"


@pytest.fixture(scope="session")
def embedder_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embedder(tmp_path_factory.mktemp("embedder"), identity="tiny-1")


@pytest.fixture(scope="session")
def harbour(embedder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> IndexSummary:
    return build_index(HARBOUR, tmp_path_factory.mktemp("index") / "harbour", embedder_dir)

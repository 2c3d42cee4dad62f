"""The real embedder beside its reference, and the retriever's score on questions in and off the documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.data_plane.light.conftest import CORPUS

from folio_serving.classify.export import export, installed_weights
from folio_serving.classify.minilm import Embedder
from folio_serving.retrieve.evaluate import outcomes, read_questions, report
from folio_serving.retrieve.search import Index


def questions() -> list[str]:
    return [question.text for question in read_questions(CORPUS / "harbour-questions.jsonl")]


@pytest.fixture(scope="module")
def reference() -> np.ndarray:
    """Return the vectors that the original weights give in torch."""
    import torch  # noqa: PLC0415 - seconds to import, for this test only
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415

    model = AutoModel.from_pretrained(installed_weights()).eval()
    tokenizer = AutoTokenizer.from_pretrained(installed_weights())
    vectors = []
    for text in questions():
        tokens = tokenizer(text, return_tensors="pt", padding=False)
        with torch.no_grad():
            vectors.append(model(**tokens).last_hidden_state[0].mean(dim=0).numpy())
    found = np.stack(vectors)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_the_quantised_vectors_are_near_those_of_torch(minilm: Path, reference: np.ndarray) -> None:
    cosines = (Embedder.load(minilm).embed(questions()) * reference).sum(axis=1)
    assert cosines.mean() > 0.99
    assert cosines.min() > 0.97


def test_the_full_precision_vectors_are_those_of_torch(tmp_path: Path, reference: np.ndarray) -> None:
    export(tmp_path, installed_weights(), int8=False)
    cosines = (Embedder.load(tmp_path).embed(questions()) * reference).sum(axis=1)
    assert cosines.min() > 0.9999


def test_a_vector_does_not_depend_on_its_companions(minilm: Path) -> None:
    embedder = Embedder.load(minilm)
    alone = embedder.embed(["cheap first"])[0]
    assert np.array_equal(embedder.embed(["a much longer text than that " * 20, "cheap first"])[1], alone)


def test_a_second_export_writes_nothing(minilm: Path) -> None:
    before = (minilm / "model.onnx").stat().st_mtime_ns
    assert export(minilm, installed_weights()) is False
    assert (minilm / "model.onnx").stat().st_mtime_ns == before


async def test_the_score_tells_what_the_documents_answer(minilm: Path, harbour_index: Path) -> None:
    found = report(
        await outcomes(
            await Index.open(harbour_index),
            Embedder.load(minilm),
            read_questions(CORPUS / "harbour-questions.jsonl"),
        )
    )
    assert found.auroc > 0.94
    assert found.right > 0.9
    assert found.refused_at_half > 0.9
    assert found.kept_at_half > 0.85

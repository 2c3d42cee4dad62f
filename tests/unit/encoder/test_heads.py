from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.encoder.tiny_onnx import WIDTH, write_classifier, write_embedder

from folio_api.spec import ModelSpec
from folio_serving.classify.minilm import EncoderFilesError
from folio_serving.classify.ngram import Grams, Head, HeadError, Meta, features, save_head
from folio_serving.engines.encoder.heads import Abilities, abilities


def spec(kind: str, source: Path | None, *tasks: str) -> ModelSpec:
    content: dict[str, Any] = {
        "name": "triage",
        "engine": "encoder",
        "identity": "0",
        "tasks": tasks,
        "encoder": {"type": kind},
        "source": {"uri": f"file://{source}"} if source else None,
    }
    return ModelSpec.model_validate(content)


def read(kind: str, source: Path | None, *tasks: str) -> Abilities:
    return abilities(spec(kind, source, *tasks))


def ngram_head() -> Head:
    grams = Grams(buckets=256)
    weights = np.zeros((256, 2), dtype=np.float32)
    weights[features("apple", grams).buckets, 1] = 5
    return Head(weights, np.zeros(2, dtype=np.float32), ("other", "fruit"), Meta(kind="ngram", grams=grams))


def vector_head(dimensions: int = WIDTH, reject_below: float = 0.0) -> Head:
    weights = np.zeros((dimensions, 2), dtype=np.float32)
    bias = np.array([0, 2], dtype=np.float32)
    return Head(weights, bias, ("no", "yes"), Meta(kind="vector", reject_below=reject_below))


@pytest.mark.parametrize("name", ["head.npz", ""])
def test_an_ngram_source_is_a_directory_with_a_head_or_the_head_itself(tmp_path: Path, name: str) -> None:
    save_head(ngram_head(), tmp_path / "head.npz")
    found = read("NGram", tmp_path if not name else tmp_path / name, "Classification").labeller
    assert found is not None
    assert found.label("apple").label == "fruit"
    assert found.label("apple").confidence > 0.8


def test_a_minilm_with_a_head_labels_and_embeds(tmp_path: Path) -> None:
    save_head(vector_head(), write_embedder(tmp_path) / "head.npz")
    found = read("MiniLM", tmp_path, "Classification", "Embedding")
    assert found.labeller is not None
    assert found.embedder is not None
    assert found.labeller.label("red apple") == found.labeller.label("red apple")
    assert found.labeller.label("red apple").label == "yes"
    assert found.labeller.label("red apple").prompt_tokens == 2


def test_a_minilm_source_with_only_a_head_uses_the_embedder_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLIO_MINILM_DIR", str(write_embedder(tmp_path / "image")))
    save_head(vector_head(), tmp_path / "own" / "head.npz")
    assert read("MiniLM", tmp_path / "own", "Classification").labeller is not None
    assert read("MiniLM", None, "Embedding").embedder is not None


def test_an_unsure_head_gives_no_label_but_its_confidence(tmp_path: Path) -> None:
    save_head(vector_head(reject_below=0.99), write_embedder(tmp_path) / "head.npz")
    labeller = read("MiniLM", tmp_path, "Classification").labeller
    assert labeller is not None
    assert labeller.label("red").label == ""
    assert 0.8 < labeller.label("red").confidence < 0.99


def test_an_onnx_directory_with_labels_is_a_classifier(tmp_path: Path) -> None:
    labeller = read("ONNX", write_classifier(tmp_path, ["a", "b", "c"]), "Classification").labeller
    assert labeller is not None
    found = labeller.label("red")
    assert found.label in ("a", "b", "c")
    assert 1 / 3 < found.confidence < 1


def test_an_onnx_directory_without_labels_is_an_embedder(tmp_path: Path) -> None:
    found = read("ONNX", write_embedder(tmp_path), "Embedding")
    assert found.labeller is None
    assert found.embedder is not None


def test_labels_may_stand_in_a_transformers_config(tmp_path: Path) -> None:
    write_classifier(tmp_path, ["x", "y"])
    (tmp_path / "labels.json").unlink()
    (tmp_path / "config.json").write_text('{"id2label": {"1": "second", "0": "first"}}')
    labeller = read("ONNX", tmp_path, "Classification").labeller
    assert labeller is not None
    assert labeller.label("red").label in ("first", "second")


def test_labels_that_do_not_fit_the_outputs_are_refused(tmp_path: Path) -> None:
    write_classifier(tmp_path, ["a", "b"])
    (tmp_path / "labels.json").write_text('["a", "b", "c"]')
    with pytest.raises(EncoderFilesError, match=r"3 labels for 2 outputs of model\.onnx"):
        read("ONNX", tmp_path, "Classification")


def test_a_head_of_another_width_is_refused(tmp_path: Path) -> None:
    save_head(vector_head(dimensions=WIDTH + 1), write_embedder(tmp_path) / "head.npz")
    with pytest.raises(
        EncoderFilesError, match=f"a head over {WIDTH + 1} numbers, the embedder gives {WIDTH}"
    ):
        read("MiniLM", tmp_path, "Classification")


def test_a_classification_without_a_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderFilesError, match=r"Classification needs a head\.npz"):
        read("MiniLM", write_embedder(tmp_path), "Classification")


def test_an_embedding_by_ngrams_is_refused(tmp_path: Path) -> None:
    save_head(ngram_head(), tmp_path / "head.npz")
    with pytest.raises(EncoderFilesError, match="Embedding needs type MiniLM"):
        read("NGram", tmp_path, "Embedding")


def test_a_missing_head_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeadError, match=r"head\.npz: cannot be read"):
        read("NGram", tmp_path, "Classification")


@pytest.mark.parametrize("kind", ["NGram", "ONNX"])
def test_a_missing_source_is_named(kind: str) -> None:
    with pytest.raises(EncoderFilesError, match="needs a source"):
        read(kind, None, "Classification")

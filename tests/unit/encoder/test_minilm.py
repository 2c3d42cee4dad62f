from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.encoder.tiny_onnx import WIDTH, vector, write_embedder

from folio_serving.classify.minilm import Embedder, EmbedderConfig, EncoderFilesError


def test_a_vector_is_the_mean_of_its_tokens_with_length_one(tmp_path: Path) -> None:
    embedder = Embedder.load(write_embedder(tmp_path))
    found = embedder.embed(["red", "apple"])
    assert np.allclose(found, [vector("red"), vector("apple")], atol=1e-6)
    both = embedder.embed(["red apple"])[0]
    assert np.isclose(np.linalg.norm(both), 1)
    assert not np.allclose(both, found[0])


def test_no_texts_give_no_vectors(tmp_path: Path) -> None:
    assert Embedder.load(write_embedder(tmp_path)).embed([]).shape == (0, WIDTH)


def test_tokens_are_counted(tmp_path: Path) -> None:
    assert Embedder.load(write_embedder(tmp_path)).embed_counted(["red apple", "sky"]).tokens == 3


def test_a_long_text_is_cut_where_the_config_says(tmp_path: Path) -> None:
    embedder = Embedder.load(write_embedder(tmp_path, identity="x", max_tokens=2))
    assert np.allclose(embedder.embed(["red apple"]), embedder.embed(["red apple sky"]))


def test_an_embedder_that_we_did_not_write_is_named_by_its_files(tmp_path: Path) -> None:
    first = EmbedderConfig.read(write_embedder(tmp_path / "a"))
    same = EmbedderConfig.read(write_embedder(tmp_path / "b"))
    other = EmbedderConfig.read(write_embedder(tmp_path / "c", seed=2))
    assert first.identity == same.identity != other.identity


@pytest.mark.parametrize("missing", ["model.onnx", "tokenizer.json"])
def test_a_missing_file_is_named_with_the_fix(tmp_path: Path, missing: str) -> None:
    (write_embedder(tmp_path) / missing).unlink()
    with pytest.raises(
        EncoderFilesError, match=rf"no {missing}; `python -m folio_serving.classify.export DIR`"
    ):
        Embedder.load(tmp_path)


def test_a_file_that_is_no_model_is_said_to_be_none(tmp_path: Path) -> None:
    (write_embedder(tmp_path) / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(EncoderFilesError, match="not a usable ONNX model"):
        Embedder.load(tmp_path)


def test_a_bad_config_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(EncoderFilesError, match=r"config\.json"):
        Embedder.load(write_embedder(tmp_path, identity="x", max_tokens="many"))

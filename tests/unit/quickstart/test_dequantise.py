from pathlib import Path

import numpy as np
import pytest

dequantise = pytest.importorskip("dequantise", reason="needs torch and gguf, which the engine brings")


def as_in_gguf(values: np.ndarray, heads: int) -> np.ndarray:
    """Interleave the two rotary halves of each head, as llama.cpp's converter does."""
    rows, columns = values.shape
    return values.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


@pytest.mark.parametrize("heads", [1, 3])
def test_unpermuting_undoes_what_the_converter_did(heads: int) -> None:
    values = np.arange(heads * 8 * 5).reshape(heads * 8, 5)
    stored = as_in_gguf(values, heads)
    assert not np.array_equal(stored, values)
    assert np.array_equal(dequantise.unpermuted(stored, heads), values)


@pytest.mark.parametrize(
    ("gguf", "hub"),
    [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output_norm.weight", "model.norm.weight"),
        ("blk.7.attn_q.weight", "model.layers.7.self_attn.q_proj.weight"),
        ("blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight"),
    ],
)
def test_tensors_get_the_names_that_transformers_knows(gguf: str, hub: str) -> None:
    assert dequantise.hub_name(gguf) == hub


def test_a_folder_that_was_not_finished_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"half")
    assert not dequantise.is_dequantised(tmp_path)


def test_another_file_than_the_adapter_was_trained_on_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(SystemExit, match="not the file that the adapter was trained on"):
        dequantise.dequantise(tmp_path / "other.gguf", tmp_path / "out")

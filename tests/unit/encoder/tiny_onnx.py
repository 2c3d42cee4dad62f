"""Real ONNX encoders of a few hundred weights: a table of word vectors, and a linear head over their mean."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

WORDS = ("[UNK]", "warm", "red", "green", "blue", "apple", "grass", "sky")
WIDTH = 4


def write_embedder(directory: Path, seed: int = 1, **config: object) -> Path:
    """Write an encoder that gives one vector a word."""
    return _write(directory, _table(seed), [_gather("hidden")], "hidden", config)


def write_classifier(directory: Path, labels: list[str]) -> Path:
    """Write a sequence classifier whose logits are the mean word vector's first numbers."""
    mean = helper.make_node("ReduceMean", ["hidden"], ["pooled"], axes=[1], keepdims=0)
    head = helper.make_node("MatMul", ["pooled", "head"], ["logits"])
    nodes = [_gather("hidden"), mean, head]
    weights = {"table": _table(1)["table"], "head": np.eye(WIDTH, len(labels), dtype=np.float32)}
    _write(directory, weights, nodes, "logits", {})
    (directory / "labels.json").write_text(json.dumps(labels))
    return directory


def vector(word: str, seed: int = 1) -> np.ndarray:
    found: np.ndarray = _table(seed)["table"][WORDS.index(word)]
    return found / np.linalg.norm(found)


def _table(seed: int) -> dict[str, np.ndarray]:
    return {"table": np.random.default_rng(seed).normal(size=(len(WORDS), WIDTH)).astype(np.float32)}


def _gather(output: str) -> onnx.NodeProto:
    return helper.make_node("Gather", ["table", "input_ids"], [output])


def _write(
    directory: Path,
    weights: dict[str, np.ndarray],
    nodes: list[onnx.NodeProto],
    output: str,
    config: dict[str, object],
) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, directory / "model.onnx")
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(directory / "tokenizer.json"))
    if config:
        (directory / "config.json").write_text(json.dumps(config))
    return directory

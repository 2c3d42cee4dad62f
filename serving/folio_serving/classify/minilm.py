"""Sentence vectors from an ONNX directory: model.onnx, tokenizer.json and (optional) config.json. No torch.

One thread per session: a replica holds a share of a core, and the gateway's event loop must keep its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from tokenizers import Encoding, Tokenizer

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "config.json"
MODEL_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})

Vectors = NDArray[np.float32]


class EncoderFilesError(Exception):
    """The directory does not hold a usable encoder; the message names the file and the fix."""


class EmbedderConfig(BaseModel):
    """What two embedders must share for their vectors to be comparable."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    identity: str = ""
    """Compared by an index with the embedder that a query comes from."""
    max_tokens: int = 256
    precision: Literal["fp32", "int8"] = "fp32"
    source: str = ""

    @classmethod
    def read(cls, directory: Path) -> EmbedderConfig:
        """Return the directory's config; an encoder that we did not write is named by its files."""
        path = directory / CONFIG_FILE
        try:
            config = cls.model_validate_json(path.read_bytes()) if path.is_file() else cls()
        except ValidationError as error:
            raise EncoderFilesError(f"{path}: {error.errors()[0]['msg']}") from error
        return config if config.identity else config.model_copy(update={"identity": _digest(directory)})


class OnnxEncoder:
    """A transformer's forward pass; what its output means is the caller's."""

    def __init__(self, directory: Path) -> None:
        _check_files(directory)
        self.config = EmbedderConfig.read(directory)
        self._tokenizer = Tokenizer.from_file(str(directory / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.config.max_tokens)
        self._session = _session(directory / MODEL_FILE)
        self._inputs = tuple(given.name for given in self._session.get_inputs())
        self.width = self.run(self.tokenize(["warm"])[0]).shape[-1]
        """Dimensions of a vector or number of labels, by a first run: a broken graph fails at the start."""

    def tokenize(self, texts: Sequence[str]) -> list[Encoding]:
        return self._tokenizer.encode_batch_fast(list(texts))

    def run(self, text: Encoding) -> NDArray[np.float32]:
        """Return the graph's output for one text: hidden states [tokens, width], a vector, or logits.

        Never in batches: int8 scales span the batch, so that a text's vector would depend on the texts
        that happened to come with it (seen: a cosine of 0.985), and one thread gains little.
        """
        ids = np.array([text.ids], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        outputs = self._session.run(None, {name: given[name] for name in self._inputs})
        first: NDArray[np.float32] = outputs[0][0]
        return first


@dataclass(frozen=True)
class Embeddings:
    vectors: Vectors
    """One row a text, of length 1."""
    tokens: int


class Embedder:
    """Texts to unit vectors: mean over the tokens' hidden states."""

    def __init__(self, encoder: OnnxEncoder) -> None:
        self._encoder = encoder

    @classmethod
    def load(cls, directory: Path) -> Embedder:
        return cls(OnnxEncoder(directory))

    @property
    def config(self) -> EmbedderConfig:
        return self._encoder.config

    @property
    def dimensions(self) -> int:
        return int(self._encoder.width)

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self.embed_counted(texts).vectors

    def embed_counted(self, texts: Sequence[str]) -> Embeddings:
        """Return the vectors in the order of the texts, and how many tokens were read."""
        encodings = self._encoder.tokenize(texts)
        vectors = np.zeros((len(encodings), self.dimensions), dtype=np.float32)
        for row, encoding in enumerate(encodings):
            vectors[row] = unit(self._encoder.run(encoding))
        return Embeddings(vectors, sum(len(encoding.ids) for encoding in encodings))


def unit(output: NDArray[np.float32]) -> Vectors:
    """Return a vector of length 1: the mean over tokens, or the row itself when the graph pools."""
    vector = output.mean(axis=0) if output.ndim == 2 else output
    scaled: Vectors = (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
    return scaled


def _check_files(directory: Path) -> None:
    missing = [name for name in (MODEL_FILE, TOKENIZER_FILE) if not (directory / name).is_file()]
    if missing:
        raise EncoderFilesError(
            f"{directory}: no {' and no '.join(missing)}; "
            "`python -m folio_serving.classify.export DIR` writes a MiniLM"
        )


def _session(model: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The arena keeps the largest text's memory for ever; without it a replica is smaller and no slower.
    options.enable_cpu_mem_arena = False
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no narrower base
        raise EncoderFilesError(f"{model}: not a usable ONNX model: {error}") from error
    strange = {given.name for given in session.get_inputs()} - MODEL_INPUTS
    if strange:
        raise EncoderFilesError(f"{model}: inputs {', '.join(sorted(strange))} are not a text encoder's")
    return session


def _digest(directory: Path) -> str:
    digest = hashlib.sha256()
    for name in (MODEL_FILE, TOKENIZER_FILE):
        digest.update((directory / name).read_bytes())
    return digest.hexdigest()[:16]

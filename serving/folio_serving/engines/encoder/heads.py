"""An encoder's files, read into what it can do: label a text, or turn texts into vectors."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from folio_api.spec import ModelSpec
from folio_serving.classify.minilm import (
    CONFIG_FILE,
    MODEL_FILE,
    Embedder,
    EncoderFilesError,
    OnnxEncoder,
)
from folio_serving.classify.ngram import Head, load_head
from folio_serving.engines.light import words
from folio_serving.sources import local_path

HEAD_FILE = "head.npz"
LABELS_FILE = "labels.json"
MINILM_DIR = "FOLIO_MINILM_DIR"
DEFAULT_MINILM_DIR = "/opt/folio/minilm"


@dataclass(frozen=True)
class Labelled:
    label: str
    """Empty when the head is too unsure to name one."""
    confidence: float
    prompt_tokens: int


class Labeller(Protocol):
    quick: bool
    """So fast that a thread would cost more than the work."""

    def label(self, text: str) -> Labelled: ...


@dataclass(frozen=True)
class Abilities:
    """At least one of them."""

    labeller: Labeller | None = None
    embedder: Embedder | None = None


def abilities(spec: ModelSpec) -> Abilities:
    """Read the model's files; what is missing or does not fit its tasks is an error that names the file."""
    assert spec.encoder is not None
    source = local_path(spec.source.uri) if spec.source is not None else None
    found = _READERS[spec.encoder.type](source)
    if "Classification" in spec.tasks and found.labeller is None:
        raise EncoderFilesError(
            f"{source or 'no source'}: the task Classification needs a {HEAD_FILE} with labels"
        )
    if "Embedding" in spec.tasks and found.embedder is None:
        raise EncoderFilesError(
            f"{source or 'no source'}: the task Embedding needs type MiniLM, or ONNX without labels"
        )
    return found


def _ngram(source: Path | None) -> Abilities:
    if source is None:
        raise EncoderFilesError(f"an NGram encoder needs a source with a {HEAD_FILE}")
    return Abilities(labeller=NGramLabeller(load_head(source / HEAD_FILE if source.is_dir() else source)))


def _minilm(source: Path | None) -> Abilities:
    """The source may hold the embedder, a head, or both; without one the image's embedder is used."""
    own = source is not None and (source / MODEL_FILE).is_file()
    embedder = Embedder.load(source if source is not None and own else minilm_directory())
    head = source / HEAD_FILE if source is not None else None
    if head is None or not head.is_file():
        return Abilities(embedder=embedder)
    return Abilities(VectorLabeller(embedder, load_head(head), head), embedder)


def _onnx(source: Path | None) -> Abilities:
    if source is None:
        raise EncoderFilesError(f"an ONNX encoder needs a source with a {MODEL_FILE}")
    encoder = OnnxEncoder(source)
    labels = _labels(source)
    if not labels:
        return Abilities(embedder=Embedder(encoder))
    return Abilities(labeller=SequenceLabeller(encoder, labels, source))


_READERS = {"NGram": _ngram, "MiniLM": _minilm, "ONNX": _onnx}


def minilm_directory() -> Path:
    return Path(os.environ.get(MINILM_DIR, DEFAULT_MINILM_DIR))


class NGramLabeller:
    quick = True

    def __init__(self, head: Head) -> None:
        self._head = head

    def label(self, text: str) -> Labelled:
        opinion = self._head.classify(text)
        return Labelled(opinion.label or "", opinion.confidence, words(text))


class VectorLabeller:
    quick = False

    def __init__(self, embedder: Embedder, head: Head, path: Path) -> None:
        if len(head.weights) != embedder.dimensions:
            raise EncoderFilesError(
                f"{path}: a head over {len(head.weights)} numbers, the embedder gives {embedder.dimensions}"
            )
        self._embedder = embedder
        self._head = head

    def label(self, text: str) -> Labelled:
        found = self._embedder.embed_counted([text])
        opinion = self._head.classify_vector(found.vectors[0])
        return Labelled(opinion.label or "", opinion.confidence, found.tokens)


class SequenceLabeller:
    """A transformer that was trained to classify: its output is one logit a label."""

    quick = False

    def __init__(self, encoder: OnnxEncoder, labels: Sequence[str], source: Path) -> None:
        if encoder.width != len(labels):
            raise EncoderFilesError(
                f"{source}: {len(labels)} labels for {encoder.width} outputs of {MODEL_FILE}"
            )
        self._encoder = encoder
        self._labels = tuple(labels)

    def label(self, text: str) -> Labelled:
        tokens = self._encoder.tokenize([text])[0]
        logits = self._encoder.run(tokens)
        shares = np.exp(logits - logits.max())
        best = int(shares.argmax())
        return Labelled(self._labels[best], float(shares[best] / shares.sum()), len(tokens.ids))


def _labels(source: Path) -> tuple[str, ...]:
    """Return the labels of labels.json (a list), or those that a transformers config.json names."""
    try:
        if (source / LABELS_FILE).is_file():
            return tuple(str(label) for label in json.loads((source / LABELS_FILE).read_text()))
        config = json.loads((source / CONFIG_FILE).read_text()) if (source / CONFIG_FILE).is_file() else {}
    except ValueError as error:
        raise EncoderFilesError(f"{source}: {LABELS_FILE} and {CONFIG_FILE} must be JSON: {error}") from error
    named = config.get("id2label", {})
    return tuple(named[key] for key in sorted(named, key=int))

"""A linear head over hashed n-grams (words 1-2, characters 3-5), every weight folded into one look-up
table.

Scoring is a hash of the text and one gather from a float32 array: no vocabulary, no sparse matrix, about
0.2 ms.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from folio_serving.classify.opinion import Opinion

Floats = NDArray[np.float32]
_Hashes = NDArray[np.uint32]

HEAD_CHARACTERS = 1500
TAIL_CHARACTERS = 500
"""Of a longer text only beginning and end are read: what is asked for stands there, and the time is
bounded."""
_WORD = re.compile(r"\w+|[^\w\s]")
_MULTIPLIER = np.uint32(0x01000193)
_NO_HASHES: _Hashes = np.empty(0, dtype=np.uint32)


class HeadError(Exception):
    """A head's file cannot be used, and why."""


class Grams(BaseModel):
    """How a text becomes buckets. Part of a head's file: weights mean nothing under another hashing."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    words: tuple[int, int] = (1, 2)
    characters: tuple[int, int] = (3, 5)
    buckets: int = Field(default=2**15, ge=2**8, le=2**22)


class Meta(BaseModel):
    """The `meta` member of a head's file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: str
    """ngram, or vector for a head over embeddings."""
    temperature: float = Field(default=1.0, gt=0)
    grams: Grams = Grams()
    reject_below: float = Field(default=0.0, ge=0, le=1)
    """Confidence under which the head gives no label."""
    nothing: float | None = None
    """Logit of "none of these labels", when the head knows one: where it is highest, there is no label."""
    notes: dict[str, Any] = Field(default_factory=dict)
    """How it was trained: data, held-out figures."""


@dataclass(frozen=True, slots=True)
class Features:
    """A text's buckets and each one's value."""

    buckets: NDArray[np.int64]
    values: Floats


def features(text: str, grams: Grams) -> Features:
    """Return the text's n-grams, each once; words and characters weigh the same, whatever the length."""
    normal = " ".join(_ends(text).lower().split())
    words = _runs(_words(normal), grams.words, seed=0x9E3779B9)
    characters = _runs(_characters(f" {normal} "), grams.characters, seed=0x85EBCA6B)
    hashes = _spread(np.concatenate((*words, *characters))) if words or characters else _NO_HASHES
    # The kind is the lowest bit, so that one sort finds each bucket of each kind once.
    keys = (hashes % np.uint32(grams.buckets)).astype(np.int64) << 1
    keys[sum(map(len, words)) :] |= 1
    keys = _distinct(keys)
    of_characters = keys & 1
    count = int(of_characters.sum())
    shares = np.array([1 / max(1, len(keys) - count), 1 / max(1, count)], dtype=np.float32)
    return Features(keys >> 1, np.sqrt(shares / 2)[of_characters])


@dataclass(frozen=True, slots=True)
class Head:
    """Logits are linear in the input; `meta.temperature` makes their softmax a probability."""

    weights: Floats
    """[buckets, labels], or [dimensions, labels] of a vector head."""
    bias: Floats
    labels: tuple[str, ...]
    meta: Meta

    def classify(self, text: str) -> Opinion:
        return self.opinion(self.text_logits(text))

    def classify_vector(self, vector: Sequence[float] | Floats) -> Opinion:
        return self.opinion(np.asarray(vector, dtype=np.float32) @ self.weights + self.bias)

    def text_logits(self, text: str) -> Floats:
        found = features(text, self.meta.grams)
        logits: Floats = found.values @ self.weights[found.buckets] + self.bias
        return logits

    def probabilities(self, logits: Floats) -> Floats:
        """Return each label's probability; they sum to less than 1 where "none of these" has its share."""
        nothing = self.meta.nothing
        highest = float(logits.max()) if nothing is None else max(nothing, float(logits.max()))
        scaled = np.exp((logits - np.float32(highest)) / np.float32(self.meta.temperature))
        beside = 0.0 if nothing is None else math.exp((nothing - highest) / self.meta.temperature)
        shares: Floats = scaled / (scaled.sum() + np.float32(beside))
        return shares

    def opinion(self, logits: Floats) -> Opinion:
        """Return the best label with its probability; no label where nothing speaks for any."""
        shares = self.probabilities(logits)
        best = int(shares.argmax())
        confidence = float(shares[best])
        foreign = self.meta.nothing is not None and float(logits[best]) < self.meta.nothing
        rejected = foreign or confidence < self.meta.reject_below
        return Opinion(None if rejected else self.labels[best], confidence, self._runner_up(shares, best))

    def _runner_up(self, shares: Floats, best: int) -> str | None:
        if len(self.labels) < 2:
            return None
        shares[best] = -1
        return self.labels[int(shares.argmax())]

    def to_bytes(self) -> bytes:
        """Return the .npz file: float16 weights, which cost no measurable accuracy and half the size."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            weights=self.weights.astype(np.float16),
            bias=self.bias.astype(np.float32),
            labels=np.array(self.labels),
            meta=np.array(self.meta.model_dump_json()),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "head") -> Self:
        """Return the head of an .npz file, or raise HeadError naming what is wrong with it."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                head = cls(
                    weights=np.ascontiguousarray(arrays["weights"], dtype=np.float32),
                    bias=arrays["bias"].astype(np.float32),
                    labels=tuple(str(label) for label in arrays["labels"]),
                    meta=Meta.model_validate_json(str(arrays["meta"])),
                )
        except (ValueError, KeyError, OSError, zipfile.BadZipFile, ValidationError) as error:
            raise HeadError(f"{name}: not a head's .npz (weights, bias, labels, meta): {error}") from error
        head.check(name)
        return head

    def check(self, name: str) -> None:
        """Raise HeadError unless the arrays fit each other and hold numbers."""
        if self.weights.ndim != 2 or self.weights.shape[1] != len(self.labels) or not self.labels:
            raise HeadError(f"{name}: weights {self.weights.shape} do not fit {len(self.labels)} labels")
        if self.bias.shape != (len(self.labels),):
            raise HeadError(f"{name}: bias {self.bias.shape} does not fit {len(self.labels)} labels")
        if self.meta.kind == "ngram" and len(self.weights) != self.meta.grams.buckets:
            raise HeadError(
                f"{name}: {len(self.weights)} rows, but meta says {self.meta.grams.buckets} buckets"
            )
        if not (np.isfinite(self.weights).all() and np.isfinite(self.bias).all()):
            raise HeadError(f"{name}: weights or bias are not finite")


def save_head(head: Head, path: Path) -> str:
    """Write the file; return its sha256."""
    content = head.to_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def load_head(path: Path, sha256: str | None = None) -> Head:
    """Read a head, and check the digest where one is given."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HeadError(f"{path}: cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise HeadError(f"{path}: its sha256 is {digest}, not {sha256}")
    return Head.from_bytes(content, str(path))


def _ends(text: str) -> str:
    if len(text) <= HEAD_CHARACTERS + TAIL_CHARACTERS:
        return text
    return f"{text[:HEAD_CHARACTERS]} {text[-TAIL_CHARACTERS:]}"


def _words(text: str) -> _Hashes:
    words = [crc32(word.encode("utf-8", "surrogatepass")) for word in _WORD.findall(text)]
    return np.array(words, dtype=np.uint32)


def _characters(text: str) -> _Hashes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _runs(units: _Hashes, span: tuple[int, int], seed: int) -> list[_Hashes]:
    """Return a hash of every run of span[0] to span[1] units, by length; each length has its own seed."""
    runs, rolled = [], units
    for length in range(1, min(span[1], len(units)) + 1):
        if length > 1:
            rolled = rolled[:-1] * _MULTIPLIER ^ units[length - 1 :]
        if length >= span[0]:
            runs.append(rolled ^ np.uint32((seed + length) & 0xFFFFFFFF))
    return runs


def _spread(hashes: _Hashes) -> _Hashes:
    """Spread the bits (the finaliser of MurmurHash3), so that the remainder by the buckets is even."""
    hashes ^= hashes >> np.uint32(16)
    hashes *= np.uint32(0x85EBCA6B)
    hashes ^= hashes >> np.uint32(13)
    hashes *= np.uint32(0xC2B2AE35)
    hashes ^= hashes >> np.uint32(16)
    return hashes


def _distinct(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sorted keys, each once: what np.unique does, in a third of its time on a few hundred."""
    keys.sort()
    first = np.ones(len(keys), dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return keys[first]

"""What a raw signal is worth: maps to probabilities and certified thresholds, read from a digest-checked
JSON artifact.

The format is docs/reference/calibration-artifact.md. Learning one is not done here; this module only trusts
what it says about its own certificates (method, samples, error rate, confidence) and never extrapolates
from one key to another.
"""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from folio_api.table import Frozen, Target
from folio_serving.confidence import Decoding

FORMAT: Final = "folio.calibration/v1"


class CalibrationError(Exception):
    """The artifact cannot be used, and why."""


class Key(NamedTuple):
    """What a calibration holds for, and nothing else."""

    model: str
    """The table's identity digest of what answers."""
    intent: str
    """Empty: the default ladder."""
    signal: str
    """MeanLogprob, ...; of a stream's first 32 tokens `MeanLogprob@32`, a signal of its own."""
    decoding: str
    adapter: str = ""
    """Identity digest of the adapter, where `model` is that of its base; empty where `model` covers both."""
    template: str = ""
    """Digest of the prompt template, where `model` does not cover it."""


class Certificate(Frozen):
    """Accepting from `at_least` on keeps the share of accepted-and-wrong answers at or below
    `max_error_rate`.

    Holds with probability `confidence` over the draw of the `samples` labelled answers, for traffic like
    them. ClopperPearson: the upper confidence bound of one fixed threshold (Clopper and Pearson, Biometrika
    1934). LearnThenTest: thresholds tested from strict to loose, the last before the first failure
    (Angelopoulos, Bates, Candes, Jordan and Lei, "Learn then Test", 2021).
    """

    max_error_rate: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    at_least: float = Field(ge=0, le=1)
    samples: int = Field(ge=1)
    method: Literal["ClopperPearson", "LearnThenTest"]

    def keeps(self, target: Target) -> bool:
        return self.max_error_rate <= target.max_error_rate and self.confidence >= target.confidence


class Isotonic(Frozen):
    """A non-decreasing step function: the probability of the last `x` that the raw signal reaches."""

    kind: Literal["isotonic"] = "isotonic"
    x: tuple[float, ...] = Field(min_length=1)
    y: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _steps_rise(self) -> Self:
        if len(self.x) != len(self.y):
            raise ValueError("x and y must be of one length")
        if list(self.x) != sorted(set(self.x)) or list(self.y) != sorted(self.y):
            raise ValueError("x must rise and y must not fall")
        if not all(0 <= value <= 1 for value in self.y):
            raise ValueError("y must be probabilities")
        return self

    def probability(self, raw: float) -> float:
        return self.y[max(0, bisect_right(self.x, raw) - 1)]


class Platt(Frozen):
    """A logistic curve over the raw signal; for fewer than some 300 labels."""

    kind: Literal["platt"] = "platt"
    slope: float = Field(ge=0, le=1e6)
    intercept: float = Field(ge=-1e6, le=1e6)

    def probability(self, raw: float) -> float:
        return 1 / (1 + math.exp(-max(-700.0, min(700.0, self.slope * raw + self.intercept))))


class Entry(Frozen):
    """Everything known of one key."""

    model: str
    intent: str = ""
    signal: str
    decoding: Decoding
    adapter: str = ""
    template: str = ""
    samples: int = Field(ge=1)
    map: Isotonic | Platt | None = Field(default=None, discriminator="kind")
    certificates: tuple[Certificate, ...] = ()

    @property
    def key(self) -> Key:
        return Key(self.model, self.intent, self.signal, self.decoding, self.adapter, self.template)


class Artifact(Frozen):
    """The file."""

    format: Literal["folio.calibration/v1"] = FORMAT
    entries: tuple[Entry, ...]

    @model_validator(mode="after")
    def _keys_are_unique(self) -> Self:
        if len({entry.key for entry in self.entries}) != len(self.entries):
            raise ValueError("two entries have the same key")
        return self

    def to_bytes(self) -> bytes:
        """Return the file's content: the same artifact is always the same bytes, so the same digest."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Calibration:
    """The artifact, compiled for look-ups."""

    entries: Mapping[Key, Entry]

    @classmethod
    def of(cls, artifact: Artifact) -> Self:
        return cls(MappingProxyType({entry.key: entry for entry in artifact.entries}))

    def threshold(self, key: Key, target: Target) -> float | None:
        """Return the loosest threshold that is certified for the target or a stricter one; None:
        uncalibrated.
        """
        entry = self.entries.get(key)
        if entry is None:
            return None
        return min((one.at_least for one in entry.certificates if one.keeps(target)), default=None)

    def probability(self, key: Key, raw: float) -> float | None:
        """Return the probability that an answer with this raw signal is right; None: uncalibrated."""
        entry = self.entries.get(key)
        return entry.map.probability(raw) if entry is not None and entry.map is not None else None


NO_CALIBRATION = Calibration(MappingProxyType({}))


def parse_calibration(content: bytes, sha256: str) -> Calibration:
    """Return the calibration of an artifact's bytes, or raise CalibrationError naming what is wrong with
    them.
    """
    if hashlib.sha256(content).hexdigest() != sha256.lower():
        raise CalibrationError(
            # Not which one: who may write a policy could ask it of any file that a gateway can read.
            f"artifact.sha256 is {sha256}, but the file has another one:"
            " name what sha256sum says of it where it was made, or restore it"
        )
    try:
        return Calibration.of(Artifact.model_validate_json(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CalibrationError(f"artifact: {where}: {first['msg']}") from error


def read_calibration(path: Path, sha256: str) -> Calibration:
    """Read an artifact's file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CalibrationError(f"artifact.uri: {path} cannot be read: {error.strerror}") from error
    return parse_calibration(content, sha256)

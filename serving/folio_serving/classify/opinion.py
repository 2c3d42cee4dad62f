"""What a classifier says about a text, and what the router expects of one. Light: imports no numerics."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Opinion(NamedTuple):
    """A classifier's answer. `label` is None when it is too unsure: the default ladder answers then."""

    label: str | None
    confidence: float
    """Probability of the best label, 0..1, also when it was rejected."""
    runner_up: str | None = None


NO_OPINION = Opinion(None, 0.0)


class IntentClassifier(Protocol):
    """Names the intent of a text at once, in the gateway's own process."""

    def classify(self, text: str) -> Opinion: ...


class VectorClassifier(Protocol):
    """Names the intent of a text from its embedding, which somebody else has made."""

    def classify_vector(self, vector: list[float]) -> Opinion: ...

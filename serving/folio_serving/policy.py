"""A routing table made ready for requests: compiled router, classifier, calibration, and every model's
backend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from folio_api.detectors import DETECTORS
from folio_api.table import Classifier, Model, Table
from folio_serving.backends import Backend
from folio_serving.calibration import NO_CALIBRATION, Calibration, CalibrationError, read_calibration
from folio_serving.classify.intent import Examples, examples_of, intent_classifier
from folio_serving.classify.opinion import IntentClassifier
from folio_serving.consulting import Consultant
from folio_serving.route import Router
from folio_serving.sources import SourceError, local_path

if TYPE_CHECKING:
    from folio_serving.classify.minilm import Embedder


class TableError(Exception):
    """A table cannot be used; the last good one stays."""


class Lesson(NamedTuple):
    """All that a table's classifiers are learned from."""

    classifier: Classifier
    embedder: str
    """Identity of the portfolio's model whose vectors are learned; empty without one."""
    intents: tuple[str, ...]
    examples: Examples


@dataclass(frozen=True, slots=True)
class Learned:
    """What a table needs beside itself, read or trained when the table arrives."""

    lesson: Lesson
    classifier: IntentClassifier | None
    consultant: Consultant
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Policy:
    """One table in use."""

    table: Table
    router: Router
    models: Mapping[str, Model]
    backends: Mapping[str, Backend]
    learned: Learned
    revision: bytes

    @classmethod
    def of(cls, table: Table, learned: Learned, backends: Mapping[str, Backend]) -> Policy:
        models = {model.name: model for model in table.models}
        router = Router(table, learned.classifier)
        return cls(table, router, models, backends, learned, table.revision.encode())


def learn(table: Table, known: Iterable[Learned] = ()) -> Learned:
    """Return what the table needs; blocking, and some seconds long for many examples that are not known."""
    lesson = _lesson(table)
    same = next((one for one in known if one.lesson == lesson), None)
    try:
        if same is not None:
            return replace(same, calibration=_calibration(table))
        classifier = intent_classifier(table)
        consultant = Consultant(table, classifier, _embedder(table.classifier.embedder_uri))
        return Learned(lesson, classifier, consultant, _calibration(table))
    except (CalibrationError, SourceError, OSError, ValueError) as error:
        raise TableError(str(error)) from error


def _lesson(table: Table) -> Lesson:
    embedder = next((model.identity for model in table.models if model.name == table.classifier.model), "")
    names = tuple(intent.name for intent in table.intents)
    return Lesson(table.classifier, embedder, names, examples_of(table))


def check(table: Table) -> None:
    """Raise for a table that would fail at its first request: a ladder with a model that is not there."""
    known = {model.name for model in table.models}
    ladders = {"defaultLadder": table.default_ladder, **{one.name: one.ladder for one in table.intents}}
    for name, ladder in ladders.items():
        for rung in ladder:
            missing = {rung.model, *rung.accept.models} - known
            if missing:
                raise TableError(f"{name}: there is no model {', '.join(sorted(missing))}")
    detectors = {name for one in table.data_classes for name in one.detectors}
    if unknown := sorted(detectors - set(DETECTORS)):
        raise TableError(f"there is no detector {', '.join(unknown)}")
    if table.revision != table.digest():
        raise TableError(f"revision {table.revision or 'none'} is not that of its content, {table.digest()}")


def _embedder(uri: str | None) -> Embedder | None:
    """Return the gateway's own MiniLM where the policy names one; nobody else pays for importing it."""
    if uri is None:
        return None
    from folio_serving.classify.minilm import Embedder, EncoderFilesError  # noqa: PLC0415

    try:
        return Embedder.load(local_path(uri))
    except EncoderFilesError as error:
        raise TableError(str(error)) from error


def _calibration(table: Table) -> Calibration:
    if table.artifact is None:
        return NO_CALIBRATION
    return read_calibration(local_path(table.artifact.uri), table.artifact.sha256)

"""Resources from files, or every reason why they cannot be had: all documents, all errors, at once."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path as FilePath
from typing import Any, TypeVar

from folio_api import core
from folio_api.core import ConfigMap, Secret
from folio_api.documents import Document, documents
from folio_api.errors import Complaint, LoadError, written
from folio_api.evaluation import PortfolioEvaluation
from folio_api.meta import API_VERSION, GROUP, Key, Resource
from folio_api.model import SpecialistModel
from folio_api.parse import KINDS, parse
from folio_api.policy import RoutingPolicy
from folio_api.portfolio import ModelPortfolio

MOST_BYTES = 4 * 1024 * 1024
T = TypeVar("T")


@dataclass(frozen=True)
class Text:
    """Manifests that are not in a file, and what errors shall call them."""

    name: str
    content: str


@dataclass(frozen=True)
class Loaded:
    """What the files hold. With errors, only what was free of them stands here."""

    models: Mapping[Key, SpecialistModel] = field(default_factory=dict)
    policies: Mapping[Key, RoutingPolicy] = field(default_factory=dict)
    portfolios: Mapping[Key, ModelPortfolio] = field(default_factory=dict)
    evaluations: Mapping[Key, PortfolioEvaluation] = field(default_factory=dict)
    secrets: Mapping[Key, Secret] = field(default_factory=dict)
    config_maps: Mapping[Key, ConfigMap] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    """KIND/NAME of objects that are not Folio's, such as claims: they are for a cluster only."""
    errors: tuple[LoadError, ...] = ()


@dataclass(frozen=True)
class _Entry:
    """One document: its object or nothing, and what is wrong with it."""

    kind: str
    key: Key
    file: str
    document: Document
    object: Resource | Secret | ConfigMap | None = None
    complaints: tuple[Complaint, ...] = ()

    def errors(self) -> Iterator[LoadError]:
        name = f"{self.kind}/{self.key.name}" if self.kind and self.key.name else self.kind or None
        placed = [(self.document.line_of(one.path), one) for one in self.complaints]
        for line, one in sorted(placed, key=itemgetter(0)):
            yield LoadError(self.file, one.message, line, self.document.number, name, written(one.path))


def load(sources: Iterable[FilePath | Text]) -> Loaded:
    """Read files, folders of *.yaml, or texts. Never raises for what they hold."""
    read = [item for source in sources for item in _read(source)]
    items = list(_without_repeated(read))
    entries = [item for item in items if isinstance(item, _Entry)]
    errors = [e for item in items for e in (item.errors() if isinstance(item, _Entry) else (item,))]
    return Loaded(
        models=_of(SpecialistModel, entries),
        policies=_of(RoutingPolicy, entries),
        portfolios=_of(ModelPortfolio, entries),
        evaluations=_of(PortfolioEvaluation, entries),
        secrets=_of(Secret, entries),
        config_maps=_of(ConfigMap, entries),
        ignored=tuple(f"{e.kind}/{e.key.name}" for e in entries if e.object is None and not e.complaints),
        errors=tuple(errors),
    )


def _of(kind: type[T], entries: Iterable[_Entry]) -> Mapping[Key, T]:
    return {entry.key: entry.object for entry in entries if isinstance(entry.object, kind)}


def _read(source: FilePath | Text) -> Iterator[_Entry | LoadError]:
    if isinstance(source, Text):
        yield from _entries(source)
        return
    if source.is_dir():
        files = sorted(path for path in source.iterdir() if path.suffix in (".yaml", ".yml"))
        if not files:
            yield LoadError(str(source), "no *.yaml in this folder: name a file")
        for path in files:
            yield from _read(path)
        return
    text = _text(source)
    yield from _entries(text) if isinstance(text, Text) else (text,)


def _text(path: FilePath) -> Text | LoadError:
    try:
        if path.stat().st_size > MOST_BYTES:
            return LoadError(str(path), "is larger than 4 MiB: resources are small, name another file")
        return Text(str(path), path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        return LoadError(str(path), "is not UTF-8 text")
    except OSError as error:
        return LoadError(str(path), f"cannot be read: {error.strerror}")


def _entries(text: Text) -> Iterator[_Entry | LoadError]:
    found = list(documents(text.content))
    if not found:
        yield LoadError(text.name, "holds no document: write a ModelPortfolio and what it names")
    for document in found:
        yield _entry(text.name, document)


def _entry(file: str, document: Document) -> _Entry:
    value = document.value
    if document.complaints and value is None:
        return _Entry("", Key("", ""), file, document, complaints=document.complaints)
    if not isinstance(value, dict):
        complaint = Complaint((), f"is not an object: begin with apiVersion: {API_VERSION}")
        return _Entry("", Key("", ""), file, document, complaints=(complaint,))
    kind, key = _text_at(value, "kind"), _key(value)
    found, complaints = _object(kind, key, value)
    told = {one.path for one in document.complaints}
    complaints = (*document.complaints, *(one for one in complaints if one.path not in told))
    return _Entry(kind, key, file, document, None if complaints else found, complaints)


def _object(kind: str, key: Key, value: dict[str, Any]) -> tuple[Any, tuple[Complaint, ...]]:
    version = _text_at(value, "apiVersion")
    identity = tuple(_unidentified(value))
    if identity:
        return None, identity
    if kind in KINDS or version.startswith((GROUP, f"{GROUP}/")):
        parsed = parse({name: part for name, part in value.items() if name != "status"})
        return parsed.resource, parsed.complaints
    if version == "v1" and kind in CORE:
        return CORE[kind](key, value)
    if kind.endswith("List") and "items" in value:
        return None, (
            Complaint(("items",), "lists are not read: write each object as a document of its own"),
        )
    return None, ()


CORE = {"Secret": core.secret, "ConfigMap": core.config_map}


def _unidentified(value: Mapping[str, Any]) -> Iterator[Complaint]:
    """Members without which nobody knows what the object is."""
    if not _text_at(value, "apiVersion"):
        yield Complaint(("apiVersion",), f"is missing: write apiVersion: {API_VERSION}")
    if not _text_at(value, "kind"):
        yield Complaint(("kind",), f"is missing: one of {', '.join(KINDS)}")
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("name") is None:
        yield Complaint(("metadata", "name"), "is missing: write metadata: {name: NAME}")


def _text_at(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    return text if isinstance(text, str) else ""


def _key(value: Mapping[str, Any]) -> Key:
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        return Key("", "")
    return Key(_text_at(metadata, "namespace") or "default", _text_at(metadata, "name"))


def _without_repeated(items: Iterable[_Entry | LoadError]) -> Iterator[_Entry | LoadError]:
    """Of two objects with the same name, complain about the second."""
    first: dict[tuple[str, Key], _Entry] = {}
    for item in items:
        if isinstance(item, LoadError) or not item.key.name:
            yield item
            continue
        other = first.setdefault((item.kind, item.key), item)
        if other is item:
            yield item
            continue
        where = f"{other.file}:{other.document.line}"
        complaint = Complaint(
            ("metadata", "name"), f"is taken by the {item.kind} in {where}: rename or remove one"
        )
        yield replace(item, object=None, complaints=(*item.complaints, complaint))

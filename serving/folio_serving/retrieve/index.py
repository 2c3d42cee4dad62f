"""Builds an index: one LanceDB table of passages with vectors and full-text search, and what belongs to it.

A directory holds `passages.lance`, `terms.json` and, written last, `index.json`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS
from pydantic import BaseModel, ConfigDict, ValidationError

from folio_serving.classify.minilm import Embedder, EncoderFilesError
from folio_serving.retrieve.documents import DocumentError, document_paths, read_document
from folio_serving.retrieve.passages import Passage, passages
from folio_serving.retrieve.terms import Rarity, terms

TABLE = "passages"
TERMS_FILE = "terms.json"
INDEX_FILE = "index.json"
FORMAT = 1

Progress = Callable[[str, int, int], None]
"""Called with the stage (`read`, `embed`), how many of its steps are done, and how many there are."""


class IndexingError(Exception):
    """An index cannot be built or opened; the message names the path and the fix."""


class IndexHeader(BaseModel):
    """`index.json`: what must be known of an index before it is asked."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    embedder: str
    """Identity of the embedder; another one's vectors mean nothing here."""
    dimensions: int
    documents: int
    passages: int
    content: str
    """Digest of all passages and the embedder: changes exactly when an answer may."""

    @classmethod
    def read(cls, directory: Path) -> IndexHeader:
        path = directory / INDEX_FILE
        try:
            header = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise IndexingError(
                f"{directory}: no index there; build one with `folio index DIR --to PATH`"
            ) from error
        except (ValidationError, OSError) as error:
            raise IndexingError(f"{path}: not readable; build the index again with `folio index`") from error
        if header.format != FORMAT:
            raise IndexingError(
                f"{path}: format {header.format}, this version reads {FORMAT}; build the index again"
            )
        return header


@dataclass(frozen=True)
class IndexSummary:
    target: Path
    documents: int
    passages: int
    sentences: int
    embedder: str
    skipped: tuple[tuple[str, str], ...]
    """Files that could not be read, each with its reason."""


def build_index(
    source_dir: Path, target_dir: Path, embedder_dir: Path, progress: Progress = lambda *_: None
) -> IndexSummary:
    """Index every document below `source_dir`; an index that is there is replaced at the end, at once."""
    try:
        embedder = Embedder.load(embedder_dir)
    except EncoderFilesError as error:
        raise IndexingError(f"embedder {error}") from error
    reading = _read(source_dir, progress)
    vectors = _Vectors.of(reading.passages, embedder, progress)
    header = IndexHeader(
        embedder=embedder.config.identity,
        dimensions=embedder.dimensions,
        documents=reading.documents,
        passages=len(reading.passages),
        content=_digest(reading.passages, embedder.config.identity),
    )
    target_dir.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target_dir.parent, prefix=f".{target_dir.name}-"))
    try:
        _write(scratch, reading.passages, vectors, header)
        _swap(scratch, target_dir)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sentences = sum(len(passage.sentences) for passage in reading.passages)
    return IndexSummary(
        target_dir, reading.documents, header.passages, sentences, header.embedder, reading.skipped
    )


@dataclass(frozen=True)
class _Reading:
    documents: int
    passages: tuple[Passage, ...]
    skipped: tuple[tuple[str, str], ...]


def _read(source_dir: Path, progress: Progress) -> _Reading:
    if not source_dir.is_dir():
        raise IndexingError(f"{source_dir}: not a directory; name one with .md, .rst, .html or .txt files")
    paths = document_paths(source_dir)
    found: list[Passage] = []
    skipped: list[tuple[str, str]] = []
    for done, path in enumerate(paths, start=1):
        try:
            found.extend(passages(read_document(path, source_dir)))
        except DocumentError as error:
            skipped.append((str(path.relative_to(source_dir)), str(error)))
        progress("read", done, len(paths))
    if not found:
        raise IndexingError(
            f"{source_dir}: no text in any .md, .rst, .html or .txt file below it; nothing to index"
        )
    return _Reading(len(paths) - len(skipped), tuple(found), tuple(skipped))


@dataclass(frozen=True)
class _Vectors:
    passages: Sequence[np.ndarray]
    sentences: Sequence[np.ndarray]
    """One array [sentences, dimensions] a passage."""

    @classmethod
    def of(cls, found: Sequence[Passage], embedder: Embedder, progress: Progress) -> _Vectors:
        whole: list[np.ndarray] = []
        parts: list[np.ndarray] = []
        for done, passage in enumerate(found, start=1):
            vectors = embedder.embed(
                [f"{passage.context}\n{passage.text}", *map(passage.in_context, passage.sentences)]
            )
            whole.append(vectors[0])
            parts.append(vectors[1:])
            progress("embed", done, len(found))
        return cls(whole, parts)


def _schema(dimensions: int) -> pa.Schema:
    return pa.schema(
        [
            ("id", pa.int32()),
            ("source", pa.string()),
            ("context", pa.string()),
            ("text", pa.string()),
            ("sentences", pa.list_(pa.string())),
            ("vector", pa.list_(pa.float32(), dimensions)),
            ("sentence_vectors", pa.list_(pa.float16())),
        ]
    )


def _write(directory: Path, found: Sequence[Passage], vectors: _Vectors, header: IndexHeader) -> None:
    rows = [
        {
            "id": number,
            "source": passage.source,
            "context": passage.context,
            "text": f"{passage.context}\n{passage.text}",
            "sentences": list(passage.sentences),
            "vector": vectors.passages[number],
            "sentence_vectors": vectors.sentences[number].astype(np.float16).ravel(),
        }
        for number, passage in enumerate(found)
    ]
    table = lancedb.connect(directory).create_table(TABLE, rows, schema=_schema(header.dimensions))
    table.create_index("text", config=FTS(language="English", stem=True, remove_stop_words=True))
    rarity = Rarity.of(terms(str(row["text"])) for row in rows)
    (directory / TERMS_FILE).write_text(json.dumps(rarity.frequency, sort_keys=True))
    (directory / INDEX_FILE).write_text(header.model_dump_json(indent=2) + "\n")


def _swap(scratch: Path, target: Path) -> None:
    """Put the new index in the old one's place: a reader finds the one or the other."""
    scratch.chmod(0o755)
    if target.exists():
        if not (target / INDEX_FILE).is_file() and any(target.iterdir()):
            raise IndexingError(f"{target}: holds something else than an index; choose another --to")
        old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-old-"))
        target.rename(old / "index")
        scratch.rename(target)
        shutil.rmtree(old)
    else:
        scratch.rename(target)


def _digest(found: Sequence[Passage], embedder: str) -> str:
    digest = hashlib.sha256(embedder.encode())
    for passage in found:
        digest.update(json.dumps([passage.source, passage.titles, passage.sentences]).encode())
    return digest.hexdigest()[:16]

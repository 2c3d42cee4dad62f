from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.encoder.tiny_onnx import write_embedder
from tests.unit.retriever.conftest import HARBOUR

from folio_serving.classify.minilm import Embedder
from folio_serving.retrieve.index import IndexHeader, IndexingError, IndexSummary, build_index
from folio_serving.retrieve.search import Hit, Index


async def search(directory: Path, embedder_dir: Path, question: str, limit: int = 4) -> list[Hit]:
    vector = Embedder.load(embedder_dir).embed([question])[0].tolist()
    return await (await Index.open(directory)).search(question, vector, limit)


def test_the_summary_says_what_was_indexed(harbour: IndexSummary) -> None:
    assert (harbour.documents, harbour.skipped, harbour.embedder) == (7, (), "tiny-1")
    assert harbour.sentences > harbour.passages > 20


def test_the_header_keeps_the_embedders_identity(harbour: IndexSummary) -> None:
    header = IndexHeader.read(harbour.target)
    assert (header.embedder, header.passages, header.documents) == ("tiny-1", harbour.passages, 7)


def test_progress_counts_files_and_passages(embedder_dir: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    summary = build_index(HARBOUR, tmp_path / "i", embedder_dir, lambda *step: seen.append(step))
    assert [step for step in seen if step[0] == "read"] == [("read", done, 7) for done in range(1, 8)]
    assert seen[-1] == ("embed", summary.passages, summary.passages)


async def test_words_find_a_passage_whatever_its_vector(harbour: IndexSummary, embedder_dir: Path) -> None:
    hits = await search(harbour.target, embedder_dir, "Norvik Recycling used chain oil")
    assert hits[0].source == "harbour/staff/safety.html#chemicals"
    assert hits[0].best.text.startswith("Used chain oil is collected by Norvik")
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


async def test_no_more_hits_than_asked(harbour: IndexSummary, embedder_dir: Path) -> None:
    assert len(await search(harbour.target, embedder_dir, "bike", limit=2)) == 2


@pytest.mark.parametrize(
    "question", ['"quoted" AND (', "*", "?!", "the", "ünï ¢ödé", "a" * 5000, "x:y^2~", "NOT", "\\"]
)
async def test_no_question_breaks_the_search(
    harbour: IndexSummary, embedder_dir: Path, question: str
) -> None:
    assert all(0 <= hit.score <= 1 for hit in await search(harbour.target, embedder_dir, question))


async def test_a_second_build_replaces_the_first(embedder_dir: Path, tmp_path: Path) -> None:
    documents = tmp_path / "docs"
    documents.mkdir()
    (documents / "a.md").write_text("# Sky\n\nThe sky is blue.\n")
    build_index(documents, tmp_path / "index", embedder_dir)
    before = IndexHeader.read(tmp_path / "index").content
    (documents / "a.md").write_text("# Grass\n\nThe grass is green.\n")
    build_index(documents, tmp_path / "index", embedder_dir)
    assert IndexHeader.read(tmp_path / "index").content != before
    assert [hit.text for hit in await search(tmp_path / "index", embedder_dir, "sky")] == [
        "The grass is green."
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["docs", "index"]  # noqa: ASYNC240


def test_the_same_documents_give_the_same_digest(
    embedder_dir: Path, harbour: IndexSummary, tmp_path: Path
) -> None:
    build_index(HARBOUR, tmp_path / "again", embedder_dir)
    assert IndexHeader.read(tmp_path / "again").content == IndexHeader.read(harbour.target).content


def test_another_embedder_gives_another_digest(harbour: IndexSummary, tmp_path: Path) -> None:
    other = write_embedder(tmp_path / "e", seed=2, identity="tiny-2")
    build_index(HARBOUR, tmp_path / "i", other)
    assert IndexHeader.read(tmp_path / "i").content != IndexHeader.read(harbour.target).content


def test_a_file_that_cannot_be_read_is_skipped_with_its_reason(embedder_dir: Path, tmp_path: Path) -> None:
    documents = tmp_path / "docs"
    documents.mkdir()
    (documents / "good.txt").write_text("Fine.")
    (documents / "bad.txt").write_bytes(b"\xff\xfe\x00")
    summary = build_index(documents, tmp_path / "index", embedder_dir)
    assert summary.documents == 1
    assert [name for name, _ in summary.skipped] == ["bad.txt"]


def test_no_documents_are_an_error(embedder_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="nothing to index"):
        build_index(tmp_path, tmp_path / "index", embedder_dir)
    with pytest.raises(IndexingError, match="not a directory"):
        build_index(tmp_path / "none", tmp_path / "index", embedder_dir)


def test_a_missing_embedder_is_an_error_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match=r"embedder .*no model\.onnx.*folio_serving\.classify\.export"):
        build_index(HARBOUR, tmp_path / "index", tmp_path)


def test_a_directory_with_something_else_is_never_replaced(embedder_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / "photo.jpg").write_bytes(b"x")
    with pytest.raises(IndexingError, match="holds something else than an index"):
        build_index(HARBOUR, target, embedder_dir)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
    assert (target / "photo.jpg").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no index there; build one with `folio index DIR --to PATH`"),
        ("{", "not readable; build the index again"),
        (json.dumps({"embedder": "x"}), "not readable; build the index again"),
    ],
)
async def test_what_is_no_index_is_refused_with_the_fix(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "index.json").write_text(content)
    with pytest.raises(IndexingError, match=message):
        await Index.open(tmp_path)


async def test_an_index_of_another_format_is_refused(harbour: IndexSummary, tmp_path: Path) -> None:
    header = IndexHeader.read(harbour.target).model_copy(update={"format": 99})
    (tmp_path / "index.json").write_text(header.model_dump_json())
    with pytest.raises(IndexingError, match="format 99, this version reads 1"):
        await Index.open(tmp_path)


async def test_half_an_index_is_refused(harbour: IndexSummary, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text((harbour.target / "index.json").read_text())
    with pytest.raises(IndexingError, match="the rest is not; build it again"):
        await Index.open(tmp_path)

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.unit.retriever.conftest import HARBOUR

from folio_serving.classify.minilm import Embedder
from folio_serving.engines.encoder.replica import NamedVectors
from folio_serving.engines.retriever.answering import Answering
from folio_serving.engines.retriever.live import LiveIndex
from folio_serving.errors import Trouble
from folio_serving.retrieve.index import IndexingError, IndexSummary, build_index


@dataclass
class LocalEmbedder:
    embedder: Embedder
    identity: str = "tiny-1"
    calls: int = 0

    async def vectors(self, text: str) -> NamedVectors:
        self.calls += 1
        return NamedVectors(self.identity, self.embedder.embed([text]).tolist())


@pytest.fixture
def embedder(embedder_dir: Path) -> LocalEmbedder:
    return LocalEmbedder(Embedder.load(embedder_dir))


def answering(directory: Path, embedder: LocalEmbedder) -> Answering:
    return Answering("handbook", LiveIndex(directory), embedder, most_passages=2)


async def test_a_reply_carries_score_and_passages(harbour: IndexSummary, embedder: LocalEmbedder) -> None:
    reply = await answering(harbour.target, embedder).reply("error code E7 torque sensor wet")
    assert "torque sensor is wet" in reply.content
    passages = reply.beside["folio"]["passages"]
    assert passages[0] == {
        "text": passages[0]["text"],
        "source": "harbour/repairs.md#electric-bikes",
        "score": round(reply.score, 4),
    }
    assert len(passages) <= 2


@pytest.mark.parametrize("text", ["", "  \n", "green sky"])
async def test_nothing_found_is_empty_with_score_zero(
    harbour: IndexSummary, embedder: LocalEmbedder, text: str
) -> None:
    reply = await answering(harbour.target, embedder).reply(text)
    assert (reply.content, reply.score, reply.beside) == ("", 0.0, {"folio": {"passages": []}})


async def test_no_vector_is_made_for_an_empty_question(
    harbour: IndexSummary, embedder: LocalEmbedder
) -> None:
    await answering(harbour.target, embedder).reply("")
    assert embedder.calls == 0


async def test_vectors_of_another_embedder_are_refused(
    harbour: IndexSummary, embedder: LocalEmbedder
) -> None:
    embedder.identity = "other"
    with pytest.raises(
        Trouble, match="built with embedder tiny-1, but embedderRef answers as other"
    ) as caught:
        await answering(harbour.target, embedder).reply("bike")
    assert caught.value.kind == "Unavailable"


async def test_embeddings_are_not_its_trade(harbour: IndexSummary, embedder: LocalEmbedder) -> None:
    with pytest.raises(Trouble, match="handbook makes no embeddings"):
        await answering(harbour.target, embedder).embedded(["x"])


def test_a_missing_index_fails_the_start_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="build one with `folio index DIR --to PATH`"):
        LiveIndex(tmp_path)


async def test_a_new_index_is_read_at_the_next_question(
    embedder: LocalEmbedder, embedder_dir: Path, tmp_path: Path
) -> None:
    documents = tmp_path / "harbour"
    shutil.copytree(HARBOUR, documents)
    build_index(documents, tmp_path / "index", embedder_dir)
    handbook = answering(tmp_path / "index", embedder)
    assert "noon" not in (await handbook.reply("Puffin Island ferry leaves")).content
    (documents / "news.md").write_text("# News\n\nThe ferry to Puffin Island leaves at noon.\n")
    build_index(documents, tmp_path / "index", embedder_dir)
    assert "noon" in (await handbook.reply("Puffin Island ferry leaves")).content


async def test_a_broken_new_index_leaves_the_old_one_answering(
    harbour: IndexSummary, embedder: LocalEmbedder, tmp_path: Path
) -> None:
    directory = tmp_path / "index"
    shutil.copytree(harbour.target, directory)
    handbook = answering(directory, embedder)
    question = "error code E7 torque sensor wet"
    before = await handbook.reply(question)
    (directory / "index.json").write_text("{")
    assert await handbook.reply(question) == before
    assert before.content


async def test_an_index_that_vanished_is_unavailable_with_its_reason(
    harbour: IndexSummary, embedder: LocalEmbedder, tmp_path: Path
) -> None:
    directory = tmp_path / "index"
    shutil.copytree(harbour.target, directory)
    handbook = answering(directory, embedder)
    assert (await handbook.reply("error code E7")).content
    shutil.rmtree(directory)
    with pytest.raises(Trouble, match=r"handbook: .*cannot be read"):
        await handbook.reply("battery charging kilometres")

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.data_plane.light.conftest import CORPUS, Light

from folio_serving.confidence import parse_comment, parse_signals
from folio_serving.retrieve.index import build_index

SIGNALS = {"x-folio-signals": "usage"}


def test_an_answer_quotes_the_document_and_names_it(light: Light) -> None:
    answer = light.chat("handbook", "How long is a gift card valid?", **SIGNALS)
    content = answer.json()["choices"][0]["message"]["content"]
    assert "valid for three years" in content
    assert content.endswith("[harbour/shop/till.md#gift-cards]")
    score = parse_signals(answer.headers["x-folio-signals"]).score
    assert score is not None
    assert score > 0.7


def test_passages_for_later_rungs_stand_beside_the_answer(light: Light) -> None:
    passages = light.chat("handbook", "Which guide speaks Finnish?").json()["folio"]["passages"]
    assert 1 <= len(passages) <= 4
    assert passages[0]["source"] == "harbour/tours.md#guides"
    assert "Marta also speaks Finnish" in passages[0]["text"]
    assert [passage["score"] for passage in passages] == sorted((p["score"] for p in passages), reverse=True)


@pytest.mark.parametrize("question", ["How many moons does Saturn have?", "Who wrote Pride and Prejudice?"])
def test_what_is_not_in_the_documents_is_refused(light: Light, question: str) -> None:
    answer = light.chat("handbook", question, **SIGNALS)
    assert answer.json()["choices"][0]["message"]["content"] == ""
    assert answer.json()["folio"]["passages"] == []
    assert parse_signals(answer.headers["x-folio-signals"]).score == 0


def test_a_stream_says_the_same_with_its_score_in_comments(light: Light) -> None:
    body = {
        "model": "handbook",
        "messages": [{"role": "user", "content": "Where is the assembly point?"}],
        "stream": True,
    }
    answer = light.post("handbook", "/v1/chat/completions", body, **{"x-folio-signals": "logprobs;at=8"})
    lines = answer.text.split("\n\n")
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    reports = [report for line in lines if (report := parse_comment(line)) is not None]
    assert "fish market" in events[0]["choices"][0]["delta"]["content"]
    assert [report.end for report in reports] == [False, True]
    assert reports[0].signals.score == reports[1].signals.score
    assert lines[-2] == "data: [DONE]"


def test_without_its_embedder_it_says_so(light: Light) -> None:
    answer = light.chat("orphan", "Where is the assembly point?")
    assert answer.status_code == 503
    assert "embedder application 'model-nobody'" in answer.json()["error"]["message"]


def test_an_index_that_was_built_again_answers_without_a_restart(
    light: Light, minilm: Path, harbour_index: Path, tmp_path: Path
) -> None:
    documents = tmp_path / "harbour"
    shutil.copytree(CORPUS / "harbour", documents)
    (documents / "news.md").write_text("# News\n\nThe new ferry to Puffin Island leaves at noon.\n")
    question = "When does the ferry to Puffin Island leave?"
    assert "noon" not in light.chat("handbook", question).json()["choices"][0]["message"]["content"]
    build_index(documents, harbour_index, minilm)
    try:
        assert "noon" in light.chat("handbook", question).json()["choices"][0]["message"]["content"]
    finally:
        build_index(CORPUS / "harbour", harbour_index, minilm)


def test_an_index_of_another_embedder_is_refused_with_the_fix(light: Light, harbour_index: Path) -> None:
    header = harbour_index / "index.json"
    content = header.read_text()
    other = json.loads(content) | {"embedder": "somebody-else"}
    try:
        header.write_text(json.dumps(other))
        answer = light.chat("handbook", "Where is the assembly point?")
    finally:
        header.write_text(content)
    assert answer.status_code == 503
    assert "built with embedder somebody-else" in answer.json()["error"]["message"]
    assert "folio index" in answer.json()["error"]["message"]
    assert light.chat("handbook", "Where is the assembly point?").status_code == 200

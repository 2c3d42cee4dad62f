from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import numpy as np
import openai
import psutil
import pytest
from tests.data_plane.light.conftest import Light

from folio_serving.classify.minilm import Embedder
from folio_serving.confidence import parse_signals


def test_a_classifier_answers_chat_with_its_label(light: Light) -> None:
    answer = light.client("triage").chat.completions.create(
        model="triage", messages=[{"role": "user", "content": "a bicycle please"}]
    )
    assert answer.choices[0].message.content == "rental"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def test_the_confidence_is_the_score_signal(light: Light) -> None:
    sure = parse_signals(
        light.chat("triage", "bicycle", **{"x-folio-signals": "usage"}).headers["x-folio-signals"]
    )
    unsure = parse_signals(
        light.chat("triage", "zebra", **{"x-folio-signals": "usage"}).headers["x-folio-signals"]
    )
    assert sure.score is not None
    assert unsure.score == pytest.approx(0.5)
    assert sure.score > 0.9
    assert (sure.finish, sure.decoding) == ("stop", "greedy")
    assert sure.seconds is not None


def test_a_stream_is_one_piece_and_its_usage(light: Light) -> None:
    chunks = list(
        light.client("triage").chat.completions.create(
            model="triage",
            messages=[{"role": "user", "content": "the invoice"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert said == "billing"
    assert chunks[-1].usage is not None


def test_embeddings_are_those_of_the_model_in_either_encoding(light: Light, minilm: Path) -> None:
    texts = ["cheap first", "escalate when it is not good enough"]
    client = light.client("minilm")
    by_default = client.embeddings.create(model="minilm", input=texts)
    as_floats = client.embeddings.create(model="minilm", input=texts, encoding_format="float")
    here = Embedder.load(minilm).embed(texts)
    for answer in (by_default, as_floats):
        assert [item.index for item in answer.data] == [0, 1]
        assert np.allclose([item.embedding for item in answer.data], here, atol=1e-6)
    assert by_default.usage.prompt_tokens > 8


def test_an_embedder_says_that_it_does_not_chat(light: Light) -> None:
    with pytest.raises(openai.BadRequestError, match="makes embeddings only: ask /v1/embeddings"):
        light.client("minilm").chat.completions.create(
            model="minilm", messages=[{"role": "user", "content": "hi"}]
        )


@pytest.mark.parametrize("name", ["triage", "minilm", "handbook"])
@pytest.mark.parametrize("headers", [{}, {"x-folio-token": "wrong"}])
def test_without_the_token_everything_is_a_bare_404(light: Light, name: str, headers: dict[str, str]) -> None:
    for url in (light.url(name), light.cluster.serve_url):
        for path in ("/v1/models", "/v1/chat/completions", "/v1/embeddings", "/"):
            answer = httpx.post(f"{url}{path}", json={"model": name}, headers=headers)
            assert answer.status_code == 404
            assert name not in answer.text


def test_a_large_request_does_not_hold_up_a_small_one(light: Light) -> None:
    large = {"model": "minilm", "input": ["a long text about nothing in particular " * 30] * 64}
    started = time.monotonic()
    seconds: list[float] = []

    def ask() -> None:
        assert light.post("minilm", "/v1/embeddings", large).status_code == 200
        seconds.append(time.monotonic() - started)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.2)
    small_started = time.monotonic()
    assert light.post("minilm", "/v1/embeddings", {"model": "minilm", "input": "short"}).status_code == 200
    small_seconds = time.monotonic() - small_started
    thread.join()
    assert small_seconds < seconds[0] / 2


def test_a_replica_is_light(light: Light) -> None:
    (pid,) = light.cluster.replica_pids("model-minilm")
    assert psutil.Process(pid).memory_full_info().pss < 400e6
    loaded = "\n".join(mapped.path for mapped in psutil.Process(pid).memory_maps())
    assert "/torch/" not in loaded
    assert "/vllm/" not in loaded

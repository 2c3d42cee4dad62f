"""Every kind of model answers through HAProxy, gateway and replica."""

from __future__ import annotations

import json
import time

from tests.data_plane.gateway.conftest import Served


def test_a_model_of_our_own_answers(served: Served) -> None:
    answer = served.ask("folio")
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-folio-model"] == "fast"
    assert answer.json()["choices"][0]["message"]["content"] == "hello"


def test_an_encoder_answers_chat_with_its_label(served: Served) -> None:
    answer = served.ask("triage", "my bicycle is late")
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "rental"


def test_a_provider_outside_answers_under_the_portfolios_name_for_it(served: Served) -> None:
    answer = served.ask("frontier")
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "from outside"
    assert answer.json()["model"] == "frontier"
    assert served.provider.headers[-1]["authorization"] == "Bearer the-key"
    assert "x-folio-token" not in served.provider.headers[-1]


def test_a_request_is_one_json_line_on_its_replicas_standard_output(served: Served) -> None:
    request_id = served.ask("folio").headers["x-folio-request-id"]
    logs = served.cluster.directory / "r" / "session_latest" / "logs"
    deadline = time.monotonic() + 10
    found: list[str] = []
    while not found and time.monotonic() < deadline:
        time.sleep(0.2)
        lines = (line for file in logs.glob("worker-*.out") for line in file.read_text().splitlines())
        found = [line for line in lines if request_id in line]
    assert len(found) == 1
    assert json.loads(found[0])["model"] == "fast"

"""Adapters come and go in place and answer under their own names."""

from __future__ import annotations

from tests.data_plane.vllm.conftest import APPLICATION, Model, text, until


def test_an_adapter_answers_under_its_own_name_and_differs_from_its_base(adapted: Model) -> None:
    legal, base = adapted.ask(model="legal", max_tokens=24), adapted.ask(max_tokens=24)
    assert legal.json()["model"] == "legal"
    assert text(legal) != text(base)
    assert [answer.headers["x-folio-identity"] for answer in (legal, base)] == ["legal-1", "0"]


def test_adapters_come_and_go_without_a_restart(adapted: Model) -> None:
    (before,) = adapted.cluster.replica_pids(APPLICATION)
    adapted.deploy("medical")
    until(lambda: adapted.ask(model="medical").status_code == 200)
    assert adapted.ask(model="legal").status_code == 404
    assert adapted.cluster.replica_pids(APPLICATION) == [before]


def test_an_adapter_that_cannot_be_loaded_says_why_and_leaves_its_base_alone(adapted: Model) -> None:
    adapted.deploy("legal", "ghost")
    until(lambda: "PathNotFound: volume://models/ghost" in adapted.ask(model="ghost").text)
    assert adapted.ask(model="ghost").status_code == 404
    assert adapted.ask(model="legal").status_code == 200
    assert adapted.ask().status_code == 200

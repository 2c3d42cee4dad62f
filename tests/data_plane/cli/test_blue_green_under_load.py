"""A model moves to a second application while clients ask it by its name, so that nobody could stand in for it."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.data_plane.cli.command import UP_SECONDS, Folio
from tests.data_plane.portfolio.load import Asked, Outcome, load

NAMED = [Asked("triage", "fire and blood"), Asked("triage", "fire and blood", stream=True)]
CLIENTS = 4
OLD, NEW = "red", "warm"


class BlueGreen(Folio):
    def version(self, name: str) -> None:
        model = {"name": "triage", "drainTimeout": "3s", "updateStrategy": {"type": "BlueGreen"}}
        self.write({"triage": name}, {"defaultLadder": [{"model": "triage"}]}, [model])

    def applications(self) -> dict[str, str]:
        answer = httpx.get(
            f"http://127.0.0.1:{self.running.ports.dashboard}/api/serve/applications/",
            headers={"authorization": f"Bearer {self.state.ray_token.read_text().strip()}"},
            timeout=30,
        )
        return {name: each["status"] for name, each in answer.json()["applications"].items() if "_" in name}

    def under_load(self) -> tuple[subprocess.CompletedProcess[str], list[Outcome]]:
        return asyncio.run(self._under_load())

    async def _under_load(self) -> tuple[subprocess.CompletedProcess[str], list[Outcome]]:
        """Apply the file while clients ask, and for a moment before and after."""
        async with (
            httpx.AsyncClient(base_url=self.running.url, timeout=120) as client,
            load(client, NAMED, clients=CLIENTS) as outcomes,
        ):
            await asyncio.sleep(2)
            done = await asyncio.to_thread(self.run, "up", seconds=UP_SECONDS)
            await asyncio.sleep(2)
        return done, outcomes


@pytest.fixture(scope="module")
def folio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlueGreen]:
    found = BlueGreen(tmp_path_factory.mktemp("folio"))
    found.head("first")
    found.head("second", [NEW, NEW, "cold", "cold"])
    found.version("first")
    with found.up():
        yield found


def failed(outcomes: list[Outcome]) -> list[Outcome]:
    return [one for one in outcomes if one.status != 200 or one.broken]


def test_a_next_version_that_does_not_come_up_leaves_the_old_one_answering(folio: BlueGreen):
    before = folio.json("status")["revision"]
    folio.version("missing")

    done, outcomes = folio.under_load()

    assert failed(outcomes) == []
    assert {one.text for one in outcomes} == {OLD}
    assert "its next version is Failed" in done.stdout, done.stdout + done.stderr
    found = folio.json("status")
    assert folio.states() == {"triage": "Ready"}
    assert {each["type"]: each["reason"] for each in found["conditions"]}["Programmed"] == "NextVersionFailed"
    assert before not in done.stderr


def test_a_next_version_takes_over_once_it_answers_and_fails_no_request(folio: BlueGreen):
    (old,) = (name for name, state in folio.applications().items() if state == "RUNNING")
    folio.version("second")
    began = time.monotonic()

    done, outcomes = folio.under_load()

    answers = [one.text for one in outcomes]
    print(f"{answers.count(OLD)} old, {answers.count(NEW)} new, {time.monotonic() - began:.0f} s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{old} finishes what it began" in done.stdout
    assert failed(outcomes) == []
    assert set(answers) == {OLD, NEW}
    assert set(answers[-20:]) == {NEW}
    assert answers[answers.index(NEW) + CLIENTS :].count(OLD) == 0
    deadline = time.monotonic() + 60
    while len(left := folio.applications()) > 1:
        assert time.monotonic() < deadline, left
        time.sleep(0.5)
    assert old not in left
    assert set(left.values()) == {"RUNNING"}

"""`folio up --upstream`: another portfolio, a gateway of its own on a port of its own, as the last rung."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.data_plane.cli.command import Folio
from tests.integration.gateway.conftest import TOKEN, running_portfolio
from tests.integration.gateway.models import Models, Plays, serving

from folio_serving.secrets import Secrets

CARD = "4111 1111 1111 1111"
WORDS = "an answer from above"
COST = (7 * 3 + 5 * 15) / 1e6
"""What 7 tokens in and 5 out cost at the prices below."""
PRICES = ("--upstream-input-price", "3", "--upstream-output-price", "15")


@dataclass
class Above:
    """The other portfolio, in a thread of this process."""

    folder: Path
    url: str = ""
    models: Models = field(default_factory=Models)
    _up: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _done: asyncio.Event | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._up.wait(30)

    async def _serve(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        (self.folder / "internal-token").write_text(TOKEN)
        async with (
            running_portfolio(Secrets(self.folder)) as portfolio,
            serving(portfolio.process.app) as port,
        ):
            portfolio.models.plays = {"small": Plays(text=WORDS, chunks=len(WORDS))}
            self.models, self.url = portfolio.models, f"http://127.0.0.1:{port}/v1"
            self._up.set()
            await self._done.wait()

    def stop(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            assert self._loop is not None
            assert self._done is not None
            self._loop.call_soon_threadsafe(self._done.set)
            self._thread.join(30)


@pytest.fixture(scope="module")
def above(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Above]:
    found = Above(tmp_path_factory.mktemp("above"))
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def folio(tmp_path_factory: pytest.TempPathFactory, above: Above) -> Iterator[Folio]:
    """A portfolio whose own model is never sure enough, with card numbers that only this model may see."""
    found = Folio(tmp_path_factory.mktemp("folio"))
    found.head("triage")
    rung = {"model": "triage", "accept": {"signal": "Score", "atLeast": "1"}}
    cards = {"name": "cards", "matchAny": {"detectors": ["CreditCard"]}, "whenNoneCleared": "Refuse"}
    models = [{"name": "triage", "clearances": ["cards"]}]
    found.write({"triage": "triage"}, {"defaultLadder": [rung]}, models, dataClasses=[cards])
    with found.up("--upstream", above.url, *PRICES):
        yield found


def ask(folio: Folio, text: str, **fields: Any) -> httpx.Response:
    body = {"model": "folio", "messages": [{"role": "user", "content": text}], **fields}
    return httpx.post(f"{folio.running.url}/v1/chat/completions", json=body, timeout=60)


def account_of(comments: list[str]) -> dict[str, Any]:
    """The account of a stream, which is there once."""
    (account,) = (line for line in comments if line.startswith(": folio "))
    said: dict[str, Any] = json.loads(account.removeprefix(": folio "))
    return said


def test_what_the_first_rung_is_unsure_of_is_answered_above_and_paid_for(folio: Folio, above: Above):
    before = len(above.models.asked)

    answer = ask(folio, "fire and blood")

    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == WORDS
    assert answer.json()["model"] == "upstream"
    told = {name: answer.headers[f"x-folio-{name}"] for name in ("model", "rung", "attempts", "reason")}
    assert told == {
        "model": "upstream",
        "rung": "1",
        "attempts": "triage:NotConfident,upstream",
        "reason": "Accepted",
    }
    assert float(answer.headers["x-folio-cost"]) == pytest.approx(COST)
    (asked,) = above.models.asked[before:]
    assert asked["messages"] == [{"role": "user", "content": "fire and blood"}]


def test_a_stream_from_above_carries_one_account_that_names_it(folio: Folio):
    answer = ask(folio, "fire and blood", stream=True)

    *events, last = [event for event in answer.text.split("\n\n") if event]
    chunks = [json.loads(one.removeprefix("data: ")) for one in events if one.startswith("data: ")]
    account = account_of([one for one in events if one.startswith(":")])
    assert last == "data: [DONE]"
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == WORDS
    assert {chunk["model"] for chunk in chunks} == {"upstream"}
    assert answer.headers["x-folio-model"] == account["model"] == "upstream"
    assert account["cost_usd"] == pytest.approx(COST)
    assert [(one["model"], one["reason"]) for one in account["attempts"]] == [
        ("triage", "NotConfident"),
        ("upstream", "Accepted"),
    ]


def test_the_usage_of_a_stream_carries_our_account_and_not_the_one_above(folio: Folio):
    answer = ask(folio, "fire and blood", stream=True, stream_options={"include_usage": True})

    *_, usage, last = [event for event in answer.text.split("\n\n") if event]
    told = json.loads(usage.removeprefix("data: "))
    assert last == "data: [DONE]"
    assert told["usage"] == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    assert told["folio"]["model"] == "upstream"
    assert answer.text.count('"watt_hours"') == 1, "one account"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "fields",
    [
        {"content": f"my card is {CARD}"},
        {"content": "fire", "before": f"you said {CARD}"},
        {"content": "fire", "metadata": {"note": CARD}},
    ],
    ids=["in the question", "in what was said before", "in a member that passes through"],
)
def test_a_card_number_stays_below(folio: Folio, above: Above, fields: dict[str, Any], *, stream: bool):
    """The ladder ends at its own model, whose answer is returned as the best there is."""
    said = {"metadata": fields["metadata"]} if "metadata" in fields else {}
    history = [{"role": "assistant", "content": fields["before"]}] if "before" in fields else []
    messages = [*history, {"role": "user", "content": fields["content"]}]
    before = len(above.models.asked)

    answer = ask(folio, "", messages=messages, stream=stream, **said)

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-folio-model"] == "triage"
    assert above.models.asked[before:] == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_card_number_does_not_reach_it_by_its_name(folio: Folio, above: Above, *, stream: bool):
    before = len(above.models.asked)

    answer = ask(folio, f"my card is {CARD}", model="upstream", stream=stream)

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "NotCleared")
    assert above.models.asked[before:] == []
    assert ask(folio, "my cat", model="upstream").headers["x-folio-model"] == "upstream"


def test_every_command_names_it(folio: Folio):
    status = folio.json("status")
    route = folio.json("route", "fire and blood")
    offered = httpx.get(f"{folio.running.url}/v1/models", timeout=30).json()["data"]
    edit = folio.json("plan")

    assert folio.states() == {"triage": "Ready", "upstream": "Ready"}
    assert status["conditions"]
    assert [rung["model"] for rung in route["ladder"]] == ["triage", "upstream"]
    assert "upstream" in {model["id"] for model in offered}
    assert "upstream" in json.dumps(edit["changes"]), "the file alone takes it away"


def test_where_it_is_gone_the_best_draft_stands_in_and_says_why(folio: Folio, above: Above):
    above.stop()

    answer = ask(folio, "fire and blood")
    named = ask(folio, "fire and blood", model="upstream")

    assert (answer.status_code, answer.json()["choices"][0]["message"]["content"]) == (200, "red")
    assert answer.headers["x-folio-attempts"] == "triage:NotConfident,upstream:Unavailable"
    assert (answer.headers["x-folio-model"], answer.headers["x-folio-reason"]) == ("triage", "NotConfident")
    assert (named.status_code, named.json()["error"]["code"]) == (503, "Unavailable")
    assert "upstream: cannot connect to" in named.json()["error"]["message"]

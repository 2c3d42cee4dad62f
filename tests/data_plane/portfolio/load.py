"""Clients that ask a portfolio without pause, and what became of every one of their requests."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Asked:
    """One kind of request."""

    model: str
    text: str
    stream: bool = False
    max_tokens: int = 4

    def body(self) -> dict[str, Any]:
        messages = [{"role": "user", "content": self.text}]
        whole = {"model": self.model, "messages": messages, "max_tokens": self.max_tokens, "temperature": 0}
        return {**whole, "ignore_eos": True, **({"stream": True} if self.stream else {})}


@dataclass(frozen=True)
class Outcome:
    """What became of one request."""

    asked: Asked
    status: int
    model: str | None
    """Who answered, by the gateway's header."""
    text: str
    """What was answered, as far as it came."""
    error: dict[str, Any] | None = None
    """OpenAI's error object: the whole answer of a status, or the end of a stream that broke."""

    @property
    def broken(self) -> bool:
        """Whether it failed after its headers had been sent."""
        return self.status == 200 and self.error is not None


async def ask(client: httpx.AsyncClient, asked: Asked, begun: set[str] | None = None) -> Outcome:
    """Ask, and keep in `begun` the ids of the streams whose headers have come and whose end has not."""
    async with client.stream("POST", PATH, json=asked.body()) as answer:
        model = answer.headers.get("x-folio-model")
        number = answer.headers.get("x-folio-request-id", "")
        if begun is not None and asked.stream:
            begun.add(number)
        content = (await answer.aread()).decode()
        if begun is not None:
            begun.discard(number)
    if answer.status_code != 200:
        return Outcome(asked, answer.status_code, model, "", json.loads(content)["error"])
    if not asked.stream:
        return Outcome(asked, 200, model, json.loads(content)["choices"][0]["message"]["content"])
    events = [line[6:] for line in content.splitlines() if line.startswith("data: ")]
    chunks = [json.loads(event) for event in events if event != "[DONE]"]
    error = next((chunk["error"] for chunk in chunks if "error" in chunk), None)
    assert (events[-1] == "[DONE]") == (error is None), f"a stream ended without a word: {events[-3:]}"
    return Outcome(asked, 200, model, "".join(map(_piece, chunks)), error)


def _piece(chunk: dict[str, Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices") or ())


@contextlib.asynccontextmanager
async def load(
    client: httpx.AsyncClient,
    kinds: Sequence[Asked],
    *,
    clients: int,
    pause_seconds: float = 0.02,
    begun: set[str] | None = None,
) -> AsyncIterator[list[Outcome]]:
    """Ask all the while; at the end every request has its outcome, in the order in which they came."""
    outcomes: list[Outcome] = []
    stop = asyncio.Event()

    async def keep_asking(first: int) -> None:
        for asked in itertools.islice(itertools.cycle(kinds), first, None):
            if stop.is_set():
                return
            outcomes.append(await ask(client, asked, begun))
            await asyncio.sleep(pause_seconds)

    async with asyncio.TaskGroup() as group:
        for index in range(clients):
            group.create_task(keep_asking(index))
        try:
            yield outcomes
        finally:
            stop.set()

"""`folio chat`: talk to a portfolio, and see which rung answered, how sure it was, and what it cost."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from folio_cli import options, running, show
from folio_cli.exits import FAILED, Problem
from folio_cli.local.gateway_api import GatewayApi, GatewayError

EVENT = "data: "
DONE = "[DONE]"
ENDINGS = ("exit", "quit", "/exit", "/quit")


@dataclass(frozen=True)
class Reply:
    """An answer, and the account of it that the gateway gives."""

    text: str
    account: dict[str, Any]
    seconds: float


@dataclass
class Conversation:
    """A chat with its history."""

    api: GatewayApi
    model: str
    headers: dict[str, str]
    messages: list[dict[str, str]]

    def ask(self, question: str, write: Any) -> Reply:
        """Ask within the history; pieces of the answer are written as they come."""
        self.messages.append({"role": "user", "content": question})
        began = time.monotonic()
        body = {
            "model": self.model,
            "messages": self.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        pieces: list[str] = []
        account: dict[str, Any] = {}
        try:
            for event in self._events(body):
                account = event.get("folio") or account
                piece = content(event)
                pieces.append(piece)
                write(piece)
        except GatewayError:
            self.messages.pop()
            raise
        text = "".join(pieces)
        self.messages.append({"role": "assistant", "content": text})
        return Reply(text, account, time.monotonic() - began)

    def _events(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        with self.api.stream(body, self.headers) as response:
            for line in response.iter_lines():
                event = parsed(line)
                if event is None:
                    continue
                if "error" in event:
                    raise GatewayError(str(event["error"].get("message")))
                yield event


def parsed(line: str) -> dict[str, Any] | None:
    """Return the event of one line of a stream; None for comments, blanks and the end."""
    if not line.startswith(EVENT) or line == EVENT + DONE:
        return None
    event = json.loads(line.removeprefix(EVENT))
    return event if isinstance(event, dict) else None


def content(event: dict[str, Any]) -> str:
    """Return the text that a chunk adds; a refusal is text too."""
    delta = next((choice.get("delta") or {} for choice in event.get("choices") or ()), {})
    return str(delta.get("content") or delta.get("refusal") or "")


def chat(
    question: Annotated[str | None, typer.Argument(help="One question; without it, a conversation.")] = None,
    model: Annotated[str, typer.Option(help="folio, folio/INTENT, or one model by its name.")] = "folio",
    header: options.Headers = None,
    url: Annotated[str | None, typer.Option(help="A gateway elsewhere, up to /v1.")] = None,
    api_key: options.ApiKey = "",
    portfolio: options.Name = None,
    state_dir: options.Folder = None,
    output: options.Format = show.Output.TEXT,
) -> None:
    """Talk to a portfolio; below every answer stand its rung, confidence, time and cost.

    Without a question it reads one a line, from a terminal or a pipe, and keeps the history; from a pipe it
    ends with 1 if one of them was not answered.

    \b
    Examples:
      folio chat "I lost my card"
      folio chat --model folio/facts
      cat questions.txt | folio chat --output json
    """
    base = running.gateway(url, portfolio, state_dir)
    talk = Conversation(GatewayApi(base, api_key=api_key), model, options.headers(header), [])
    if question is not None:
        try:
            _answer(talk, question, output)
        except GatewayError as error:
            raise Problem(f"{base} does not answer", [str(error)]) from error
        return
    failed = _converse(talk, output)
    if failed and not sys.stdin.isatty():  # a script has only the status to go by
        raise typer.Exit(FAILED)


def _converse(talk: Conversation, output: show.Output) -> int:
    """Answer one line after the other; return how many errors ended a question, and not the conversation."""
    failed = 0
    for line in _lines():
        try:
            _answer(talk, line, output)
        except GatewayError as error:
            failed += 1
            sys.stderr.write(f"folio: {error}\n")
    return failed


def _lines() -> Iterator[str]:
    """Read questions until the end of the input, or until the user wants to go."""
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if line.lower() in ENDINGS:
            return
        if line:
            yield line


def _answer(talk: Conversation, question: str, output: show.Output) -> None:
    if output is show.Output.JSON:
        reply = talk.ask(question, _silently)
        line = {
            "question": question,
            "answer": reply.text,
            "seconds": round(reply.seconds, 3),
            "folio": reply.account,
        }
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        return
    reply = talk.ask(question, _write)
    sys.stdout.write("\n")
    show.console().print(account_line(reply), style="dim", markup=False)


def _silently(_piece: str) -> None:
    return


def _write(piece: str) -> None:
    sys.stdout.write(piece)
    sys.stdout.flush()


def account_line(reply: Reply) -> str:
    """Return what stands below an answer."""
    account = reply.account
    parts = [f"{account['model']} (rung {account['rung']})"] if account.get("model") else []
    if account.get("confidence") is not None:
        parts.append(f"confidence {account['confidence']:.2f}")
    parts.append(f"{reply.seconds:.2f} s")
    if account.get("cost_usd") is not None:
        parts.append(f"${account['cost_usd']:.6f}")
    refused = [
        f"{attempt['model']}: {attempt['reason']}"
        for attempt in account.get("attempts", ())
        if attempt["reason"] != "Accepted"
    ]
    return "  " + ", ".join([*parts, *(f"after {each}" for each in refused)])

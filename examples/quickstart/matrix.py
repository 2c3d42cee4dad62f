"""Ask every model of the running quickstart every held-out item, and write what the table is computed from.

`python matrix.py` serves the portfolio by itself; `--base-url` asks one served from `portfolio.one_by_one`.
"""

import argparse
import hashlib
import json
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from rich.console import Console
from rich.progress import Progress

import portfolio
import setup
from analysis.matrix import Reply, load_replies, save_replies
from asking import Heard, Portfolio
from cpu_clock import model_cpu_seconds
from serving import served
from tasks import bank, evaluation
from tasks.items import Item, Split

FOLDER = Path(__file__).resolve().parent / "matrix"
REPLIES, INTENTS, ABOUT = "replies.jsonl", "intents.json", "about.json"
LINE_EVERY = 200
IDLE_SECONDS = 3.0
"""How long nobody is asked before each model's turn, to learn what its processes take when idle."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="all 3,080 test messages of Banking77, not four an intent"
    )
    parser.add_argument(
        "--model",
        action="append",
        choices=portfolio.SIGNALS,
        help="ask this model alone and keep the other models' answers; may be said again",
    )
    parser.add_argument("--base-url", help="a portfolio that runs already")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args()
    items = asked_items(full=args.full)
    with _served(args.base_url, args.port) as url:
        client = Portfolio(url)
        intents = {item.id: client.intent(item) or portfolio.DEFAULT for item in items}
        replies = kept(args.out / REPLIES, args.model)
        for model in args.model or portfolio.SIGNALS:
            replies += asked(client, model, items)
        revision = client.revision
    args.out.mkdir(parents=True, exist_ok=True)
    order = list(portfolio.SIGNALS)
    save_replies(args.out / REPLIES, sorted(replies, key=lambda reply: order.index(reply.model)))
    (args.out / INTENTS).write_text(json.dumps(intents, indent=0) + "\n")
    (args.out / ABOUT).write_text(json.dumps(about(args.out, items, revision), indent=2) + "\n")


def kept(path: Path, again: Sequence[str] | None) -> list[Reply]:
    """Return the answers of the models that are not asked again; none where all are."""
    if not again or not path.exists():
        return []
    return [reply for reply in load_replies(path) if reply.model not in again]


def asked_items(*, full: bool) -> list[Item]:
    items = evaluation.evaluation_items()
    if not full:
        return items
    known = {item.id for item in items}
    return items + [item for item in bank.held_out_items(Random(0), None) if item.id not in known]


@contextmanager
def _served(base_url: str | None, port: int) -> Iterator[str]:
    if base_url:
        yield base_url
        return
    models = setup.prepare()
    file = setup.WORK / "one-by-one.yaml"
    file.write_text(portfolio.one_by_one(), encoding="utf-8")
    with served(file, models, setup.WORK / "matrix-state", port) as url:
        yield url


def asked(client: Portfolio, model: str, items: Sequence[Item]) -> list[Reply]:
    """Ask one model everything, one question at a time, while the others rest: the CPU time is its own."""
    client.ask(items[0], f"folio/{portfolio.only(model)}")  # the first question warms up
    idle = _idle_cpu_share(model)
    started, began = model_cpu_seconds(model), time.perf_counter()
    heard = [client.ask(item, f"folio/{portfolio.only(model)}") for item in _shown(items, model)]
    wall = time.perf_counter() - began
    spent = max(0.0, model_cpu_seconds(model) - started - idle * wall)
    return [
        reply(item, model, one, spent * one.seconds / sum(each.seconds for each in heard))
        for item, one in zip(items, heard, strict=True)
    ]


def reply(item: Item, model: str, heard: Heard, cpu_seconds: float) -> Reply:
    return Reply(
        item=item.id,
        model=model,
        answer=heard.text,
        confidence=round(heard.confidence or 0, 4),
        cpu_seconds=round(cpu_seconds, 6),
        usd=heard.usd,
        latency_seconds=round(heard.seconds, 5),
        prompt_tokens=heard.prompt_tokens,
        completion_tokens=heard.completion_tokens,
        error=heard.error,
    )


def about(folder: Path, items: Sequence[Item], revision: str) -> dict[str, object]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {_processor()}, Python {platform.python_version()}",
        "revision": revision,
        "items": {
            split.value: sum(item.split is split for item in items) for split in (Split.VAL, Split.TEST)
        },
        "sha256": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (REPLIES, INTENTS)
        },
        "models": {
            name: _folder_digest(setup.MODELS / name) for name in ("triage", "desk-s", "desk-l", "general")
        },
        "docs": setup.handbook_digest(),
        "cpu_seconds": "user and system time of the model's processes over its turn, less what they take "
        "when idle, shared among the items by latency",
        "usd": "an example: pricePerHour of modelportfolio.yaml",
    }


def _idle_cpu_share(model: str) -> float:
    before = model_cpu_seconds(model)
    time.sleep(IDLE_SECONDS)
    return (model_cpu_seconds(model) - before) / IDLE_SECONDS


def _shown(items: Sequence[Item], model: str) -> Iterator[Item]:
    console = Console(stderr=True)
    if not console.is_terminal:
        for number, item in enumerate(items):
            if number % LINE_EVERY == 0:
                print(f"{model}: asked {number} of {len(items)} items", file=sys.stderr, flush=True)
            yield item
        return
    with Progress(console=console) as progress:
        yield from progress.track(items, description=model)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


def _folder_digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


if __name__ == "__main__":
    main()

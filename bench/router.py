"""Measures the n-gram router: time a decision, and accuracy on public intent data where it is given.

    python bench/router.py [--banking77 DIR] [--clinc150 FILE]

DIR holds train.csv and test.csv (text,category); FILE is data_full.json of clinc/oos-eval.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from folio_api.table import Intent, Model, Rung, Table
from folio_serving.classify.intent import Examples, intent_classifier, learn_intents
from folio_serving.classify.ngram import Head
from folio_serving.classify.train import train_head
from folio_serving.route import Facts, Router

_SENTENCE = """please could you tell me how long the transfer of my money to another account usually takes and
whether I can still cancel it because the amount was wrong and the person has not got it yet"""
WORDS = _SENTENCE.split()
Labelled = tuple[list[str], list[str]]


def text_of(characters: int, chance: random.Random) -> str:
    text = ""
    while len(text) < characters:
        text += f"{chance.choice(WORDS)}{chance.randrange(100) or ''} "
    return text[:characters]


def timed(act: Callable[[str], object], texts: list[str]) -> str:
    """Return p50 and p99 by the clock, then p99 by CPU time: a busy machine stretches the first two only."""
    for text in texts[:50]:
        act(text)
    gc.disable()
    seconds, busy = [], []
    for text in texts:
        start, started = time.perf_counter(), time.thread_time()
        act(text)
        busy.append(time.thread_time() - started)
        seconds.append(time.perf_counter() - start)
    gc.enable()
    figures = (np.quantile(seconds, 0.5), np.quantile(seconds, 0.99), np.quantile(busy, 0.99))
    return " ".join(f"{1000 * float(figure):7.3f}" for figure in figures)


def table_of(intents: int, examples: int, chance: random.Random) -> Table:
    rung = Rung(model="m")
    return Table(
        portfolio="bench",
        models=(Model(name="m", engine="vllm", identity="m"),),
        default_ladder=(rung,),
        intents=tuple(
            Intent(
                name=f"intent-{i}",
                ladder=(rung,),
                on_exhausted="ReturnBest",
                keywords=tuple(f"keyword{i}x{k}" for k in range(8)),
                examples=tuple(text_of(60, chance) for _ in range(examples)),
            )
            for i in range(intents)
        ),
    )


def time_routing() -> None:
    chance = random.Random(1)
    print("\nA whole decision (rules, 8 keywords an intent, classifier), ms on one core")
    print(
        f"{'intents x examples':20} {'characters':>10} {'p50':>7} {'p99':>7} {'p99 CPU':>7}   learning, CPU s"
    )
    for intents, examples in ((4, 8), (16, 16), (64, 16), (64, 64)):
        table = table_of(intents, examples, chance)
        start = time.process_time()
        router = Router(table, intent_classifier(table))
        learning = time.process_time() - start
        for characters in (60, 300, 2000):
            texts = [text_of(characters, chance) for _ in range(1000)]
            row = timed(lambda text: router.route(Facts(task="Chat", asked="folio", text=text)), texts)  # noqa: B023
            print(f"{intents:>8} x {examples:<9} {characters:>10} {row}   {learning:.2f}")


def read_banking(directory: Path) -> tuple[Labelled, Labelled]:
    def rows(name: str) -> Labelled:
        with (directory / name).open(encoding="utf-8") as lines:
            found = list(csv.DictReader(lines))
        return [row["text"] for row in found], [row["category"] for row in found]

    return rows("train.csv"), rows("test.csv")


def accuracy(head: Head, texts: list[str], labels: list[str]) -> float:
    return float(
        np.mean([head.classify(text).label == label for text, label in zip(texts, labels, strict=True)])
    )


def measure_training(name: str, train: Labelled, test: Labelled) -> Head:
    start = time.process_time()
    head = train_head(*train)
    seconds = time.process_time() - start
    found = accuracy(head, *test)
    size = len(head.to_bytes()) / 1e6
    learned = f"{len(train[0])} texts, {len(head.labels)} labels"
    print(f"{name}: {learned}, {size:.1f} MB, learned in {seconds:.0f} CPU s")
    print(f"  {found:.1%} of {len(test[0])} test texts right")
    print(f"  ms a text (p50, p99, p99 CPU): {timed(head.classify, test[0])}")
    return head


def area(inside: np.ndarray, outside: np.ndarray) -> float:
    return float((inside[:, None] > outside[None]).mean() + 0.5 * (inside[:, None] == outside[None]).mean())


def measure_clinc(path: Path) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    train, test = (tuple(map(list, zip(*data[part], strict=True))) for part in ("train", "test"))
    head = measure_training("CLINC150", train, test)  # type: ignore[arg-type]
    outside = [text for text, _ in data["oos_test"]]
    sure = [np.array([head.classify(text).confidence for text in texts]) for texts in (test[0], outside)]
    print(f"CLINC150: in or out of scope by confidence, AUROC {area(*sure):.3f}")
    print("\nFew examples: some of CLINC150's intents, asked their own and foreign questions (means of 5)")
    columns = ("intents", "examples", "own, right", "none rejected", "foreign taken", "CPU s")
    print(" ".join(f"{column:>13}" for column in columns))
    for intents, examples in ((1, 8), (2, 8), (5, 5), (5, 10), (10, 10), (10, 20), (30, 20)):
        rows = [few(data, intents, examples, random.Random(seed)) for seed in range(5)]
        right, forced, taken, seconds = np.mean(rows, axis=0)
        print(f"{intents:>13} {examples:>13} {right:>13.1%} {forced:>13.1%} {taken:>13.1%} {seconds:>13.2f}")


def few(data: dict[str, list[list[str]]], intents: int, examples: int, chance: random.Random) -> list[float]:
    by_label: dict[str, list[str]] = defaultdict(list)
    for text, label in data["train"]:
        by_label[label].append(text)
    chosen = chance.sample(sorted(by_label), intents)
    pairs = [(text, label) for label in chosen for text in chance.sample(by_label[label], examples)]
    start = time.process_time()
    head = learn_intents(Examples(*zip(*pairs, strict=True)))
    seconds = time.process_time() - start
    own = [(text, label) for text, label in data["test"] if label in chosen]
    foreign = chance.sample(
        [text for text, label in [*data["test"], *data["oos_test"]] if label not in chosen], 500
    )
    best = [head.labels[int(head.text_logits(text).argmax())] for text, _ in own]
    return [
        accuracy(head, [text for text, _ in own], [label for _, label in own]),
        float(np.mean([found == label for found, (_, label) in zip(best, own, strict=True)])),
        float(np.mean([head.classify(text).label is not None for text in foreign])),
        seconds,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--banking77", type=Path)
    parser.add_argument("--clinc150", type=Path)
    options = parser.parse_args()
    time_routing()
    print()
    if options.banking77:
        measure_training("Banking77", *read_banking(options.banking77))
    if options.clinc150:
        measure_clinc(options.clinc150)


if __name__ == "__main__":
    main()

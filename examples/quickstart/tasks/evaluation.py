"""The held-out items that every figure of the quickstart is computed on, made again from one seed."""

import argparse
from pathlib import Path
from random import Random

from tasks import bank, dates, facts, general, payments
from tasks.items import Item, Split, save

SEED = 20261122
FILE = Path(__file__).parent.parent / "data" / "evaluation.jsonl"
PAYMENTS = {Split.VAL: 120, Split.TEST: 160}
GRAMMAR_DATES = {Split.VAL: 70, Split.TEST: 90}


def evaluation_items() -> list[Item]:
    return [*trained_task_items(), *facts.fact_items(), *general.general_items()]


def trained_task_items() -> list[Item]:
    """Return the held-out items of the three tasks that models are trained on."""
    rng = Random(SEED)
    items = [*bank.validation_items(), *bank.held_out_items(rng), *dates.hard_items()]
    for split in (Split.VAL, Split.TEST):
        seen = frozenset(item.prompt for item in items)
        items += payments.payment_items(split, PAYMENTS[split], rng)
        items += dates.date_items(split, GRAMMAR_DATES[split], rng, seen)
    return items


def held_out_prompts() -> frozenset[str]:
    return frozenset(item.prompt for item in trained_task_items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FILE)
    save(parser.parse_args().out, evaluation_items())


if __name__ == "__main__":
    main()

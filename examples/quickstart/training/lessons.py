"""What the trained models are taught: the training splits of tasks A, B and C, in one mix."""

from dataclasses import dataclass
from itertools import cycle, islice
from random import Random

from tasks import bank, dates, payments
from tasks.evaluation import held_out_prompts
from tasks.items import Item, Split


@dataclass(frozen=True)
class Mix:
    """How many of each task; the bank's messages come round again when they run out."""

    bank: int
    payments: int
    dates: int


def lessons(mix: Mix, seed: int) -> list[Item]:
    rng = Random(seed)
    avoid = held_out_prompts()
    messages = bank.train_items()
    rng.shuffle(messages)
    items = [
        *islice(cycle(messages), mix.bank),
        *payments.payment_items(Split.TRAIN, mix.payments, rng, avoid),
        *dates.date_items(Split.TRAIN, mix.dates, rng, avoid),
    ]
    rng.shuffle(items)
    return items

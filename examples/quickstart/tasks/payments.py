"""Task B, a payment request to JSON: forms and payees of the splits share nothing.

So a model scores by reading the request, not by remembering the form.
Training adds invented forms and payees.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tasks.calendar_words import DAY_FORMS, SPOKEN_FORMS, any_day, number_words
from tasks.invented import invented_form, invented_payee
from tasks.items import Item, Split, Task

PREFIX = "To JSON: "
WORDS = json.loads((Path(__file__).parent.parent / "data" / "payment_words.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Amount:
    text: str
    value: str


def payment_items(split: Split, count: int, rng: Random, avoid: frozenset[str] = frozenset()) -> list[Item]:
    """Return `count` items with prompts unlike each other and unlike those of `avoid`."""
    made: dict[str, Item] = {}
    while len(made) < count:
        item = payment_item(split, rng, len(made))
        if item.prompt not in avoid:
            made.setdefault(item.prompt, item)
    return list(made.values())


def payment_item(split: Split, rng: Random, number: int) -> Item:
    day = any_day(rng, 2018, 2032)
    amount = _amount(rng)
    payee = _payee(split, rng)
    form = rng.choice(SPOKEN_FORMS) if rng.random() < 0.08 else rng.choice(DAY_FORMS)
    template = _template(split, rng)
    prompt = PREFIX + template.format(amount=amount.text, payee=payee, date=form(day))
    return Item(
        f"payment-{split}-{number:04}",
        Task.PAYMENT,
        prompt,
        (answer(day.isoformat(), amount.value, payee),),
        split,
    )


def answer(day: str, amount: str, payee: str) -> str:
    return json.dumps(
        {"date": day, "amount": amount, "payee": payee}, ensure_ascii=False, separators=(",", ":")
    )


def _template(split: Split, rng: Random) -> str:
    if split is Split.TRAIN and rng.random() < 0.7:
        return invented_form(rng)
    return _one("templates", rng, split)


def _payee(split: Split, rng: Random) -> str:
    if split is not Split.TRAIN:
        return _one("unusual_payees", rng, split)
    if rng.random() < 0.75:
        return invented_payee(rng)
    if rng.random() < 0.25:
        return _one("shops", rng)
    return f"{_one('people', rng)} {_one('surnames', rng)}" if rng.random() < 0.85 else _one("people", rng)


def _one(kind: str, rng: Random, split: Split | None = None) -> str:
    words: list[str] = WORDS[kind] if split is None else WORDS[kind][split]
    return rng.choice(words)


_WHOLE: tuple[Callable[[int], str], ...] = (
    lambda n: f"{n} euros",
    lambda n: f"€{n}",
    lambda n: f"{n} EUR",
    lambda n: f"EUR {n:,}",
    lambda n: f"${n:,}",
    lambda n: f"{n} dollars",
    lambda n: f"USD {n}",
    lambda n: f"£{n}",
    lambda n: f"{n:,} pounds",
    lambda n: f"{number_words(n)} euros",
    lambda n: f"{number_words(n)} dollars",
)
_CENTS: tuple[Callable[[int, int], str], ...] = (
    lambda n, c: f"€{n:,}.{c:02}",
    lambda n, c: f"{n}.{c:02} EUR",
    lambda n, c: f"${n:,}.{c:02}",
    lambda n, c: f"{n} dollars and {c} cents",
    lambda n, c: f"£{n}.{c:02}",
    lambda n, c: f"{n} euros {c:02}",
)


def _amount(rng: Random) -> Amount:
    whole = rng.choice(
        (rng.randint(2, 99), rng.randint(100, 999), rng.randint(2, 40) * 50, rng.randint(1000, 9999))
    )
    if rng.random() < 0.65:
        return Amount(rng.choice(_WHOLE)(whole), f"{whole}.00")
    cents = rng.randint(10, 99)
    return Amount(rng.choice(_CENTS)(whole, cents), f"{whole}.{cents:02}")

"""Whether an answer is right, by comparing strings and nothing else."""

import json
import re

from tasks.items import Item, Task
from tasks.payments import answer as payment_answer


def is_right(item: Item, text: str, *, refused: bool = False) -> bool:
    if refused:
        return refusal_is_right(item)
    if item.task is Task.PAYMENT:
        return canonical_payment(text) in item.expected
    if item.task is Task.FACTS:
        return any(expected.casefold() in text.casefold() for expected in item.expected)
    if item.task is Task.GENERAL:
        return any(_has_word(text, word) for word in item.expected)
    return text.strip() in item.expected


def refusal_is_right(item: Item) -> bool:
    return item.task is Task.FACTS and not item.expected


def canonical_payment(text: str) -> str:
    """Return the three members in one order and spacing, or nothing where the text is no such object."""
    try:
        found = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(found, dict) or set(found) != {"date", "amount", "payee"}:
        return ""
    return payment_answer(found["date"], found["amount"], found["payee"])


def _has_word(text: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None

"""Task D, facts about Folio: its own docs answer, and what they do not say must be refused."""

from pathlib import Path

from tasks.items import Item, Split, Task

FILE = Path(__file__).parent.parent / "data" / "facts.tsv"


def fact_items(path: Path = FILE) -> list[Item]:
    """Return the questions; every fourth chooses the score below which the handbook refuses."""
    rows = [
        line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"
    ]
    return [_item(number, question, accepted) for number, (question, accepted) in enumerate(rows)]


def _item(number: int, question: str, accepted: str) -> Item:
    split = Split.VAL if number % 4 == 3 else Split.TEST
    expected = tuple(accepted.split("|")) if accepted else ()
    kind = "answerable" if accepted else "unanswerable"
    return Item(f"facts-{number:03}", Task.FACTS, question, expected, split, kind)

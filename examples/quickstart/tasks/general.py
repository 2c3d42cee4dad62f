"""Task E: general questions with a one-word answer, for the pretrained model as it is."""

from pathlib import Path

from tasks.items import Item, Split, Task

FILE = Path(__file__).parent.parent / "data" / "general.tsv"
SUFFIX = " Answer in one word."


def general_items(path: Path = FILE) -> list[Item]:
    """Return the questions; all of them test, because nothing is tuned on this task."""
    rows = [
        line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"
    ]
    return [
        Item(f"general-{number:03}", Task.GENERAL, question + SUFFIX, tuple(accepted.split("|")), Split.TEST)
        for number, (question, accepted) in enumerate(rows)
    ]

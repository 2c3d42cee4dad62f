"""Train triage: a linear head over the n-grams of a bank message, in a minute or two of one core."""

import argparse
from pathlib import Path

from folio_serving.classify.ngram import Grams
from folio_serving.classify.train import Recipe, train_head
from tasks import bank

HERE = Path(__file__).parent.parent
RECIPE = Recipe(grams=Grams(buckets=2**14))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "models" / "triage")
    out = parser.parse_args().out
    items = bank.train_items()
    head = train_head([item.prompt for item in items], [item.expected[0] for item in items], RECIPE)
    out.mkdir(parents=True, exist_ok=True)
    (out / "head.npz").write_bytes(head.to_bytes())
    (out / "train.log").write_text(f"{head.meta.notes} temperature {head.meta.temperature:.3f}\n")


if __name__ == "__main__":
    main()

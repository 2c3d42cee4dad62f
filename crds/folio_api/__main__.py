"""Writes what is generated: `python -m folio_api crds | reference`, from the repository's root."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from folio_api.crd import DEFINITIONS, rendered
from folio_api.reference import reference

CRDS = Path("crds")
REFERENCE = Path("docs/reference/resources.md")


def generated(what: str) -> Mapping[Path, str]:
    """Every generated file and its content."""
    if what == "crds":
        return {CRDS / definition.file: rendered(definition) for definition in DEFINITIONS}
    return {REFERENCE: reference()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m folio_api", description=__doc__)
    parser.add_argument("what", choices=("crds", "reference"))
    for path, content in generated(parser.parse_args().what).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()

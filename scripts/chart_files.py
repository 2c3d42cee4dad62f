"""Writes what the chart has from elsewhere: `python scripts/chart_files.py`, from the repository's root.

Helm reads nothing outside a chart's folder, so the resource definitions are copied into it; the table of
values in its README comes from the comments of values.yaml; the dashboards come from `chart_dashboards.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chart_dashboards
import yaml

CHART = Path("helm/folio")
CRDS = Path("crds")
BEGIN, END = "<!-- values: written by scripts/chart_files.py -->", "<!-- end of values -->"


@dataclass(frozen=True)
class Value:
    """A value that people may set."""

    path: str
    default: str
    description: str


def generated() -> Mapping[Path, str]:
    """Every generated file and its content."""
    crds = {CHART / "files/crds" / path.name: path.read_text() for path in sorted(CRDS.glob("*.yaml"))}
    boards = {
        CHART / "files/dashboards" / f"{name}.json": json.dumps(board, indent=1) + "\n"
        for name, board in chart_dashboards.BOARDS.items()
    }
    return {**crds, **boards, CHART / "README.md": readme((CHART / "README.md").read_text())}


def readme(before: str) -> str:
    """Return the README with the table of values between its two marks."""
    head, _, rest = before.partition(BEGIN)
    tail = rest.partition(END)[2]
    rows = [f"| `{each.path}` | `{each.default}` | {each.description} |" for each in described()]
    return "\n".join([f"{head}{BEGIN}", "| value | default | what |", "|---|---|---|", *rows, f"{END}{tail}"])


def described() -> Iterator[Value]:
    """Yield every value that values.yaml describes: a comment right above its key."""
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    comment: list[str] = []
    parents: list[tuple[int, str]] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped.removeprefix("#").strip())
            continue
        if ":" in stripped:
            depth = len(line) - len(line.lstrip())
            parents = [each for each in parents if each[0] < depth] + [(depth, stripped.partition(":")[0])]
            if comment:
                path = [name for _, name in parents]
                yield Value(".".join(path), _shown(values, path), " ".join(comment))
        comment = []


def _shown(values: Any, path: list[str]) -> str:
    for name in path:
        values = values[name]
    return json.dumps(values, ensure_ascii=False).replace("|", "\\|")


def undescribed() -> Iterator[str]:
    """Yield every value that values.yaml does not describe."""
    known = {each.path for each in described()}
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    yield from (path for path in _leaves(values) if not any(path.startswith(each) for each in known))


def _leaves(values: Any, before: str = "") -> Iterator[str]:
    for name, value in values.items():
        path = f"{before}{name}"
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{path}.")
        else:
            yield path


def main() -> None:
    """Write them."""
    for path, content in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()

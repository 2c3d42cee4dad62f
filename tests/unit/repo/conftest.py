"""The repository itself as a fixture: its root, and the text files that a clone would have."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Line:
    place: str
    text: str


@dataclass(frozen=True)
class Repository:
    root: Path
    files: tuple[Path, ...]

    def lines(self, *suffixes: str) -> list[Line]:
        return [
            Line(f"{path}:{number}", text)
            for path in self.files
            if not suffixes or path.suffix in suffixes
            for number, text in enumerate(self.text(path).splitlines(), start=1)
        ]

    def text(self, path: Path) -> str:
        try:
            return (self.root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:  # weights and the like
            return ""


@pytest.fixture(scope="session")
def repository() -> Repository:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    paths = (Path(name) for name in listed.split("\0") if name)
    return Repository(ROOT, tuple(path for path in paths if (ROOT / path).is_file()))

"""The good and bad objects beside this file: what `folio` says of each, and what an API server says."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
CASES = FOLDER / "cases"


@dataclass(frozen=True)
class Case:
    """One object in a file. Its first lines tell what is wrong with it, if anything."""

    file: Path

    @property
    def name(self) -> str:
        return str(self.file.relative_to(CASES).with_suffix(""))

    def told(self, by: str) -> list[str]:
        """What must be said by `folio` or by the `server`."""
        head = f"# {by}: "
        lines = self.file.read_text().splitlines()
        return [line.removeprefix(head) for line in lines if line.startswith(head)]


def cases(name: str) -> list[Case]:
    """All objects of this name: good, bad, or edit (of the good one beside it)."""
    return [Case(file) for file in sorted(CASES.glob(f"*/*/{name}.yaml"))]

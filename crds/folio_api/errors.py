"""What is wrong with a file: data for whoever prints it, never an exception."""

from dataclasses import dataclass

Path = tuple[str | int, ...]


def written(path: Path) -> str:
    """`("spec", "models", 2, "pool")` -> `spec.models[2].pool`."""
    text = ""
    for step in path:
        if isinstance(step, int) or not step.replace("-", "_").isidentifier():
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


@dataclass(frozen=True)
class Complaint:
    """A field of an object, and what to do about it."""

    path: Path
    message: str
    meant: Path | None = None
    """Where an unknown field stands: the field that was meant, or the mapping around it if none is alike."""


@dataclass(frozen=True)
class LoadError:
    """One thing to correct in a file."""

    file: str
    message: str
    line: int | None = None
    document: int | None = None
    """Number of the document in its file, from 1."""
    object: str | None = None
    """KIND/NAME, where both could be read."""
    path: str = ""

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        named = f" ({self.object})" if self.object else ""
        document = f"document {self.document}{named}" if self.document else ""
        return ": ".join(part for part in (where, document, self.path, self.message) if part)

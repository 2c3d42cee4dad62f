"""How a command ends: what it prints of a problem, and the status that scripts read."""

from __future__ import annotations

from collections.abc import Iterable

OK = 0
FAILED = 1
USAGE = 64
INTERRUPTED = 130


class Problem(Exception):  # noqa: N818 - it is told to the user, not handled
    """Something that the user can put right: a title, and one line per finding."""

    status = FAILED

    def __init__(self, title: str, lines: Iterable[str] = ()) -> None:
        super().__init__(title)
        self.title = title
        self.lines = tuple(lines)


class UsageProblem(Problem):
    """What was asked for cannot be done as it was written."""

    status = USAGE

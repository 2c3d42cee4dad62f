"""docs/reference/cli.md from the commands' own help: `python -m folio_cli.reference` writes it."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

from folio_cli.main import COMMANDS, run

PAGE = Path("docs/reference/cli.md")
HEADING = """# The command

<!-- Written by `python -m folio_cli.reference` from the commands' own help. -->

Every command prints text for people, and with `--output json` what scripts read. Problems go to standard
error, one line for each, with the field and the fix.

| status | means |
|---|---|
| 0 | done; of `folio plan`: everything is in place |
| 1 | it did not work, or the portfolio is not Ready |
| 2 | of `folio plan`: a model restarts |
| 3 | of `folio plan`: a new cluster is needed |
| 64 | the usage or the files are wrong |
| 130 | interrupted |

A Secret is a document in one of the files, or variables `FOLIO_SECRET_<NAME>_<KEY>` in the environment.

`up`, `plan` and `render` allow models every host and code of their own, as the machine is yours. With
`FOLIO_ALLOWED_HOSTS` and `FOLIO_ALLOW_REMOTE_CODE` in the environment they refuse what an operator with these
settings refuses: set both in a pull request's CI. A policy's `file://` is refused for a cluster always.
"""


def page() -> str:
    """Return the page."""
    return HEADING + "".join(f"\n## folio {name}\n\n```\n{_help(name)}```\n" for name in _names())


def _names() -> list[str]:
    return [command.__name__ for command in COMMANDS]


def _help(name: str) -> str:
    written = io.StringIO()
    with _wide_terminal(), contextlib.redirect_stdout(written):
        run([name, "--help"])
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


@contextlib.contextmanager
def _wide_terminal() -> Iterator[None]:
    """Help as wide as the page, whatever the terminal."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        yield
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)


if __name__ == "__main__":
    PAGE.write_text(page())

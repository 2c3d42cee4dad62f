"""Starts and stops the quickstart by the same command that a person would type."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLIO = Path(sys.executable).with_name("folio")
UPSTREAM = "FOLIO_FRONTIER_URL"


@contextmanager
def served(file: Path, models: Path, state: Path, port: int) -> Iterator[str]:
    """Serve the file's portfolio and yield its base URL; everything is gone afterwards."""
    try:
        yield started(file, models, state, port)
    finally:
        subprocess.run([FOLIO, "down", "--state-dir", state], check=False)


def started(file: Path, models: Path, state: Path, port: int) -> str:
    """Return the base URL once every model is ready, with progress on the way."""
    command: list[str | Path] = [
        FOLIO,
        "up",
        "-f",
        file,
        "--volume",
        f"models={models}",
        "--state-dir",
        state,
        "--port",
        str(port),
    ]
    upstream = os.environ.get(UPSTREAM)
    if upstream:
        command += ["--upstream", upstream]
    done = subprocess.run([*command, "--detach"], check=False)  # its progress is shown as it comes
    if done.returncode != 0:
        raise SystemExit(f"folio up failed with {done.returncode}")
    told = subprocess.run(
        [FOLIO, "status", "--state-dir", state, "--output", "json"], stdout=subprocess.PIPE, check=True
    )
    url: str = json.loads(told.stdout)["url"]
    return url

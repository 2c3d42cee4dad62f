"""What is fetched of a hub, and what is told of it meanwhile: in a process of its own, as the library reads its
environment at import.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.integration.hub import Hub, running

FILES = {
    "config.json": 100,
    "model.safetensors": 40_000,
    "pytorch_model.bin": 40_000,
    "onnx/model.onnx": 40_000,
    "tokenizer.json": 9_900,
}
FETCH = """
import json, sys
from folio_serving.hub import fetch
from folio_serving.sources import HubModel
told = []
arguments = json.loads(sys.argv[1])
fetch(HubModel("acme/tiny", None), lambda done, total: told.append((done, total)), arguments)
print(json.dumps(told))
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    for name, size in FILES.items():
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * (size // len(name)) + b"." * (size % len(name)))
    with running(Hub("acme/tiny", tmp_path / "files")) as served:
        yield served


def fetch(
    url: str, home: Path, engine_args: Mapping[str, str] | None = None, **environment: str
) -> tuple[list[list[int]], str]:
    """Return what was told, and the log."""
    inherited = {name: each for name, each in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    own = {"HF_ENDPOINT": url, "HF_HOME": str(home), **environment}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, json.dumps(engine_args or {})],
        check=False,
        env={**inherited, **own},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_what_the_engine_reads_is_fetched_once_and_its_bytes_are_told(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # whoever runs the tests: it is not for this hub
    told, _ = fetch(hub.url, tmp_path / "home")

    assert sorted(hub.sent) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert (told[0], told[-1]) == ([0, 50_000], [50_000, 50_000])
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    snapshots = tmp_path / "home" / "hub" / "models--acme--tiny" / "snapshots"
    assert (next(snapshots.iterdir()) / "model.safetensors").stat().st_size == 40_000

    assert fetch(hub.url, tmp_path / "home")[0] == []
    assert len(hub.sent) == 3


@pytest.mark.parametrize("load_format", ["dummy", "runai_streamer", "sharded_state"])
def test_what_another_load_format_takes_is_left_to_the_engine(
    load_format: str, hub: Hub, tmp_path: Path
) -> None:
    told, log = fetch(hub.url, tmp_path / "home", {"load_format": load_format})

    assert (told, hub.sent, log) == ([], [], "")


def test_files_go_where_the_engine_looks_for_them(hub: Hub, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    fetch(hub.url, tmp_path / "home", {"download_dir": str(cache), "load_format": "Safetensors"})

    snapshots = cache / "models--acme--tiny" / "snapshots"
    assert (next(snapshots.iterdir()) / "model.safetensors").stat().st_size == 40_000


@pytest.mark.parametrize(
    ("url", "environment", "said"),
    [
        ("http://127.0.0.1:1", {}, "hf://acme/tiny was not fetched ahead"),
        ("http://127.0.0.1:1", {"HF_HUB_OFFLINE": "1"}, ""),
    ],
)
def test_a_hub_that_is_away_is_left_to_the_engine(
    url: str, environment: dict[str, str], said: str, tmp_path: Path
) -> None:
    told, log = fetch(url, tmp_path, None, **environment)

    assert told == []
    assert said in log

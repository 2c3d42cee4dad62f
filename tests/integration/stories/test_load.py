"""The load of the stories, as a process of this machine: whatever its watcher's connection does, nothing of it is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.e2e.stories.load import Load, sustained
from tests.e2e.stories.release import CommandError

SCRIPT = Path(__file__).parents[2] / "e2e/stories/pod/load.py"
PATIENCE_SECONDS = 30
WHOLE = {"choices": [{"finish_reason": "stop", "message": {"content": "yes"}}]}


class Gateway(ThreadingHTTPServer):
    """Answers every request but each `fails`-th one."""

    fails = 0
    asked: list[str]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/chat/completions"


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body["messages"][0]["content"])
        fails = self.server.fails and len(self.server.asked) % self.server.fails == 0
        content = json.dumps(WHOLE).encode()
        self.send_response(503 if fails else 200)
        self.send_header("content-length", str(len(content)))
        self.send_header("x-folio-model", "small")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def tell(gateway: Gateway, tmp_path: Path) -> Callable[[str], str]:
    body = {"model": "folio", "messages": [{"role": "user", "content": "number {number}"}]}
    order = {"url": gateway.url, "body": body, "clients": 2, "perSecond": 50, "timeout": 10}

    def run(what: str) -> str:
        command = (sys.executable, str(SCRIPT), what, str(tmp_path / "load"))
        done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True, check=False)
        if done.returncode:
            raise CommandError(done.stderr)
        return done.stdout

    return run


def test_every_request_is_recorded_with_who_answered_it(tell: Callable[[str], str], gateway: Gateway):
    with sustained(tell, PATIENCE_SECONDS) as load:
        time.sleep(0.5)
    assert len(load.requests) == len(gateway.asked) == len(set(gateway.asked)) > 5
    assert load.models == {"small": len(gateway.asked)}
    assert not load.lost


def test_a_request_that_is_not_answered_is_lost_with_its_reason(tell: Callable[[str], str], gateway: Gateway):
    gateway.fails = 3
    with sustained(tell, PATIENCE_SECONDS) as load:
        time.sleep(0.5)
    assert len(load.lost) == len(gateway.asked) // 3 > 0
    assert "503" in load.losses()


def test_a_connection_that_breaks_costs_neither_a_record_nor_a_second_load(
    tell: Callable[[str], str], gateway: Gateway
):
    with sustained(_breaking(tell), PATIENCE_SECONDS) as load:
        time.sleep(0.5)
    assert len(load.requests) == len(gateway.asked) == len(set(gateway.asked)) > 5


def test_a_load_that_breaks_says_why(tell: Callable[[str], str], tmp_path: Path):
    with pytest.raises(AssertionError, match=r"the load broke:\n(.|\n)*FileNotFoundError"):
        _without_its_order(tell, tmp_path / "load")


def test_a_pod_that_cannot_be_reached_is_told_after_a_while():
    def tell(what: str) -> str:
        raise CommandError(f"kubectl exec: cannot {what}")

    with (
        pytest.raises(AssertionError, match="did not start within 0 s: kubectl exec: cannot start"),
        sustained(tell, 0),
    ):
        pass


def _breaking(tell: Callable[[str], str]) -> Callable[[str], str]:
    """Every command is done three times: its answer does not arrive, then half of it does, then all of it."""
    told: list[str] = []

    def broken(what: str) -> str:
        said = tell(what)
        told.append(what)
        if told.count(what) == 1:
            raise CommandError("error reading from error stream: i/o timeout")
        return said[: len(said) // 2] if told.count(what) == 2 else said

    return broken


def _without_its_order(tell: Callable[[str], str], folder: Path) -> Load:
    """Run a load in a folder that was made before, and to which nobody ever wrote."""
    folder.mkdir()
    subprocess.run((sys.executable, str(SCRIPT), "run", str(folder)), check=True, capture_output=True)
    with sustained(tell, PATIENCE_SECONDS) as load:
        return load

"""A hub of models on the loopback address: real HTTP, as huggingface_hub asks it, of the files in a folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0a8f" * 10


@dataclass
class Hub:
    """One repository at one commit. Files in `held` come half, and wholly once they are released."""

    repository: str
    folder: Path
    held: frozenset[str] = frozenset()
    released: threading.Event = field(default_factory=threading.Event)
    sent: list[str] = field(default_factory=list)
    """The files that were asked for, whole or half."""
    url: str = ""

    def files(self) -> dict[str, bytes]:
        found = (each for each in sorted(self.folder.rglob("*")) if each.is_file())
        return {each.relative_to(self.folder).as_posix(): each.read_bytes() for each in found}


class _Asked(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, *args: object) -> None:
        self.hub = hub
        super().__init__(*args)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None: ...

    def _answer(self, *, body: bool) -> None:
        path, files = unquote(urlsplit(self.path).path), self.hub.files()
        about, resolve = f"/api/models/{self.hub.repository}", f"/{self.hub.repository}/resolve/"
        if path.startswith(f"{about}/tree/"):
            self._send(json.dumps([_entry(name, each) for name, each in files.items()]).encode(), body=body)
        elif path == about or path.startswith(f"{about}/revision/"):
            siblings = [{"rfilename": name} for name in files]
            told = {"id": self.hub.repository, "sha": COMMIT, "siblings": siblings, "tags": []}
            self._send(json.dumps(told).encode(), body=body)
        elif path.startswith(resolve) and (name := path.removeprefix(resolve).partition("/")[2]) in files:
            self._send(files[name], name, body=body)
        else:
            self._send(b"{}", body=body, status=404)

    def _send(self, content: bytes, name: str = "", *, body: bool, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/octet-stream" if name else "application/json")
        self.send_header("X-Repo-Commit", COMMIT)
        if name:
            self.send_header("ETag", f'"{_oid(content)}"')
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        if not body:
            return
        if name and "Range" not in self.headers:  # of weights the engine also looks at the first bytes
            self.hub.sent.append(name)
        half = len(content) // 2 if name in self.hub.held else 0
        self.wfile.write(content[:half])
        self.wfile.flush()
        if half:
            self.hub.released.wait(300)
        self.wfile.write(content[half:])


def _entry(name: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(content), "oid": _oid(content)}


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextlib.contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Asked, hub))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        thread.join(10)
        server.server_close()

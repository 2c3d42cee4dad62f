"""Fetches what a hub has of a model before the engine would, so that somebody can be told how far that is.

It decides nothing: what it leaves out or fails at, the engine fetches by itself or tells the reason of.
"""

from __future__ import annotations

import glob
import io
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any

from folio_serving.sources import HubModel

MISTRAL = "consolidated*.safetensors"
INDEX = "model.safetensors.index.json"
"""Names the weights that the engine loads, unless it loads Mistral's; theirs are none of these."""

WEIGHTS = ("*.safetensors", "*.bin", "*.pt")
FORMATS = {"auto": (MISTRAL, *WEIGHTS), "hf": WEIGHTS, "safetensors": ("*.safetensors",)}
"""By load format, as vLLM 0.32.0 reads it: of these the engine takes the first that there is; the others are
the same weights once more. What any other format takes, only the engine knows.
"""
FOREIGN = ("*.pth", "*.h5", "*.msgpack", "*.onnx", "*.gguf", "*.ot", "*.tflite", "*.mlmodel")
Told = Callable[[int, int], None]
"""Called with the bytes that are there and those that there will be."""

log = logging.getLogger("folio.hub")


def fetch(model: HubModel, told: Told, engine_args: Mapping[str, Any]) -> None:
    """Bring the model's files into the cache; nothing is told of files that are there already."""
    kinds = FORMATS.get(str(engine_args.get("load_format", "auto")).lower())
    if kinds is None:
        return
    from huggingface_hub import constants, snapshot_download  # noqa: PLC0415 - replicas of hub models only

    if constants.HF_HUB_OFFLINE:
        return
    options: dict[str, Any] = {"revision": model.revision, "cache_dir": engine_args.get("download_dir")}
    try:
        listed = snapshot_download(model.repository, dry_run=True, **options)
        names = wanted({each.filename for each in listed}, kinds)
        missing = [each for each in listed if each.will_download and each.filename in names]
        if not missing:
            return
        total = sum(each.file_size or 0 for each in missing)
        told(0, total)
        patterns = [glob.escape(each.filename) for each in missing]
        bars = bar_class(rising(told, total))
        snapshot_download(model.repository, allow_patterns=patterns, tqdm_class=bars, **options)
    except Exception as error:  # noqa: BLE001 - whatever the hub says: the engine hears it too
        log.warning("hf://%s was not fetched ahead: %r", model.repository, error)


def wanted(names: Collection[str], kinds: Collection[str] = FORMATS["auto"]) -> frozenset[str]:
    """Return the files that the engine reads: one kind of weights, and all that is no weights."""
    kind = next((each for each in kinds if any(fnmatchcase(name, each) for name in names)), None)
    taken = {name for name in names if kind is not None and fnmatchcase(name, kind)}
    if kind != MISTRAL and INDEX in names:
        taken = {name for name in taken if not fnmatchcase(name, MISTRAL)}
    return frozenset(taken.union(name for name in names if not _is_of(name, (*WEIGHTS, *FOREIGN))))


def _is_of(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, each) for each in patterns)


def rising(told: Told, total: int) -> Callable[[int], None]:
    """Return what tells of the most that any bar has shown: bytes that came and bytes that were put together
    have a bar each, and a file that is begun again is counted twice.
    """
    most, lock = 0, threading.Lock()

    def tell(done: int) -> None:
        nonlocal most
        with lock:
            if min(done, total) > most:
                most = min(done, total)
                told(most, total)

    return tell


def bar_class(told: Callable[[int], None]) -> type[Any]:
    """Return a progress bar that shows nothing: the hub's library takes no other listener."""
    from tqdm import tqdm  # noqa: PLC0415 - comes with it

    class Bar(tqdm):  # type: ignore[misc, type-arg, unused-ignore]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            if self.unit == "B":
                told(int(self.n))
            return shown

    return Bar

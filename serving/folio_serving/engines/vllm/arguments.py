"""Which engine arguments vLLM knows, found without importing it: a wrong one fails at once and by name.

The names are the annotated fields of vLLM's own argument classes, read from their source: 0.1 s, not 8 s.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

_CLASSES = {
    "engine/arg_utils.py": ("EngineArgs", "AsyncEngineArgs"),
    "entrypoints/launchers/cli_args.py": ("BaseFrontendArgs", "FrontendArgs"),
}
_OURS = {
    "model": "vllm.source",
    "served_model_name": "the model's name",
    "tensor_parallel_size": "vllm.gpus",
    "enable_lora": "vllm.lora",
    "max_loras": "vllm.lora.maxAdapters",
    "max_lora_rank": "vllm.lora.maxRank",
}


class EngineArgumentError(ValueError):
    """An engine argument that vLLM does not know, or that another field of the resource says."""


def check(arguments: Mapping[str, Any]) -> None:
    """Raise for the first argument that cannot be passed to vLLM, naming it and the fix."""
    for name in arguments:
        if name in _OURS:
            raise EngineArgumentError(f"engineArgs.{name}: set {_OURS[name]} instead")
    known = known_arguments()
    for name in arguments:
        if known and name not in known:
            raise EngineArgumentError(f"engineArgs.{name}: vLLM has no such argument{_hint(name, known)}")


@cache
def known_arguments() -> frozenset[str]:
    """Return the names of all engine and frontend arguments; none where vLLM is not as expected."""
    spec = importlib.util.find_spec("vllm")
    roots = list(spec.submodule_search_locations or ()) if spec else []
    files = [(Path(root) / path, classes) for root in roots for path, classes in _CLASSES.items()]
    if not files or not all(path.is_file() for path, _ in files):
        return frozenset()  # the replica's own check still names the argument, after the import
    return frozenset(name for path, classes in files for name in _fields(path.read_text(), classes))


def _fields(source: str, classes: Iterable[str]) -> Iterator[str]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name in classes:
            yield from (
                each.target.id
                for each in node.body
                if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
            )


def _hint(name: str, known: frozenset[str]) -> str:
    close = difflib.get_close_matches(name.replace("-", "_"), known, n=1)
    return f"; did you mean {close[0]}?" if close else ""

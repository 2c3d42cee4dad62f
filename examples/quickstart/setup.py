"""Put every model of the quickstart into one folder, the volume `models`; what is there is left alone."""

import filecmp
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
WORK = REPOSITORY / ".folio" / "quickstart"
MODELS = WORK / "models"
DOCS = REPOSITORY / "docs"
COMMITTED = ("triage", "desk-s", "desk-l")
DOCS_DIGEST = "docs.sha256"

Say = Callable[[str], None]


def prepare(say: Say = print) -> Path:
    """Return the folder; make what it lacks. The heavy imports wait until something is to be made."""
    MODELS.mkdir(parents=True, exist_ok=True)
    for name in COMMITTED:
        _copy(MODELS / name, HERE / "models" / name)
    _general(say)
    _minilm(say)
    _handbook(say)
    _make_readable(MODELS)
    return MODELS


def _copy(target: Path, source: Path) -> None:
    """Copy what differs. No link: a pod that mounts the folder could not follow it."""
    if target.is_symlink():  # as older versions of this script left it
        target.unlink()
    shutil.copytree(source, target, copy_function=_copy_changed, dirs_exist_ok=True)


def _copy_changed(source: str, target: str) -> None:
    if not (Path(target).exists() and filecmp.cmp(source, target)):
        shutil.copy2(source, target)


def _make_readable(folder: Path) -> None:
    """Let every user read it: pods run as another, and safetensors writes for its owner alone."""
    for path in (folder, *folder.rglob("*")):
        wanted = path.stat().st_mode | (0o555 if path.is_dir() else 0o444)
        if wanted != path.stat().st_mode:
            path.chmod(wanted)


def _general(say: Say) -> None:
    from dequantise import dequantise, is_dequantised, packaged_gguf  # noqa: PLC0415

    if is_dequantised(MODELS / "general"):
        return
    say("dequantising SmolLM2-135M-Instruct")
    dequantise(packaged_gguf(), MODELS / "general")


def _minilm(say: Say) -> None:
    from folio_serving.classify.export import export, installed_weights  # noqa: PLC0415

    if export(MODELS / "minilm", installed_weights()):
        say("exported MiniLM to ONNX")


def _handbook(say: Say) -> None:
    index, digest = MODELS / "handbook", docs_digest()
    if index.is_dir() and handbook_digest() == digest:
        return
    from folio_serving.retrieve.index import build_index  # noqa: PLC0415 - imports lancedb

    shutil.rmtree(index, ignore_errors=True)
    summary = build_index(DOCS, index, MODELS / "minilm")
    (WORK / DOCS_DIGEST).write_text(digest)
    say(f"indexed {summary.documents} documents of docs/ as the handbook, {summary.passages} passages")


def handbook_digest() -> str:
    """Return the digest of what the handbook was made of, whatever became of docs/ since."""
    marker = WORK / DOCS_DIGEST
    return marker.read_text() if marker.is_file() else ""


def docs_digest() -> str:
    """Return a digest of what the handbook would be made of now."""
    found = hashlib.sha256()
    for path in sorted(path for path in DOCS.rglob("*") if path.is_file()):
        found.update(str(path.relative_to(DOCS)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    print(prepare())

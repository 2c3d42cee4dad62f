"""What the loader calls malformed, an API server refuses too, and takes what the loader does not complain about."""

from pathlib import Path

import pytest
import yaml

from folio_api.crd import DEFINITIONS
from folio_api.load import load
from folio_api.meta import API_VERSION

FILES = sorted((Path(__file__).parents[1] / "unit" / "api" / "malformed").glob("*.yaml"))
KINDS = {definition.kind.__name__ for definition in DEFINITIONS}

# What only one who reads the file can see, or what a YAML reader has lost before the API server sees the object.
LOADER_ONLY = {"a-key-twice", "two-objects-of-one-name"}


def _documents(file):
    try:
        return list(yaml.safe_load_all(file.read_text()))
    except yaml.YAMLError:
        return []


def _is_ours(document):
    ours = isinstance(document, dict) and document.get("apiVersion") == API_VERSION
    return ours and document.get("kind") in KINDS and isinstance(document.get("metadata"), dict)


CASES = [
    pytest.param(file, number, document, id=f"{file.stem}-{number}")
    for file in FILES
    if file.stem not in LOADER_ONLY
    for number, document in enumerate(_documents(file), start=1)
    if _is_ours(document)
]


@pytest.mark.parametrize(("file", "number", "document"), CASES)
def test_loader_and_api_server_agree(server, file, number, document):
    complaints = [str(error) for error in load([file]).errors if error.document == number]
    refusal = server.dry_run(document)
    assert bool(refusal) == bool(complaints), refusal or complaints

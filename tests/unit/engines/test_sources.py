from __future__ import annotations

from pathlib import Path

import pytest

from folio_api.spec import Source
from folio_serving.sources import SourceError, hub_model, is_local, local_path


@pytest.fixture
def volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOLIO_VOLUMES_DIR", str(tmp_path))
    (tmp_path / "models" / "small one").mkdir(parents=True)
    return tmp_path


def test_a_volume_source_is_below_the_volumes_directory(volumes: Path) -> None:
    assert local_path("volume://models/small%20one") == volumes / "models" / "small one"


def test_a_volume_without_a_path_is_the_volume(volumes: Path) -> None:
    assert local_path("volume://models") == volumes / "models"


def test_a_volume_may_be_a_link_to_any_directory(volumes: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "m").mkdir(parents=True)
    (volumes / "linked").symlink_to(elsewhere)
    assert local_path("volume://linked/m").is_dir()


def test_a_file_source_is_the_path_itself(volumes: Path) -> None:
    assert local_path(f"file://{volumes}/models") == volumes / "models"


@pytest.mark.parametrize(
    ("uri", "reason", "words"),
    [
        ("volume://hub/x", "SourceNotFound", "volume 'hub' is not mounted"),
        ("volume://models/x/y", "PathNotFound", "volume 'models' has no path 'x/y'"),
        ("file:///no/such/path", "PathNotFound", "no path /no/such/path"),
        ("volume://models/../../etc", "NotSupported", "without '..'"),
        ("file://host/x", "NotSupported", "file:///absolute/path"),
        ("s3://models/x", "NotSupported", "not a local source"),
    ],
)
def test_a_source_that_is_not_here_is_refused_by_reason_path_and_volume(
    volumes: Path, uri: str, reason: str, words: str
) -> None:
    with pytest.raises(SourceError, match=reason) as refused:
        local_path(uri)
    assert refused.value.reason == reason
    assert uri in str(refused.value)
    assert words in str(refused.value)


def test_a_hub_source_stays_an_id_with_its_revision() -> None:
    model = hub_model(Source(uri="hf://acme/tiny", revision="0a8f"))
    assert (model.repository, model.revision) == ("acme/tiny", "0a8f")
    assert not is_local("hf://acme/tiny")


def test_a_hub_source_without_an_owner_is_refused() -> None:
    with pytest.raises(SourceError, match="hf://owner/name"):
        hub_model(Source(uri="hf://tiny"))

"""What the handbook was made of is remembered."""

from pathlib import Path

import pytest

import setup
from folio_serving.retrieve import index


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return every handbook that was indexed, in an empty place with one document."""
    found: list[Path] = []

    def build_index(_docs: Path, to: Path, embedder: Path) -> index.IndexSummary:
        to.mkdir(parents=True)
        found.append(to)
        return index.IndexSummary(to, 1, 1, 1, str(embedder), ())

    monkeypatch.setattr(index, "build_index", build_index)
    for name, folder in (("WORK", "work"), ("MODELS", "work/models"), ("DOCS", "docs")):
        monkeypatch.setattr(setup, name, tmp_path / folder)
    (tmp_path / "docs").mkdir()
    (tmp_path / "work/models").mkdir(parents=True)
    (tmp_path / "docs/a.md").write_text("first")
    return found


def test_an_edit_of_docs_while_it_serves_does_not_change_what_it_was_made_of(made: list[Path]):
    before = setup.docs_digest()
    setup._handbook(lambda _: None)

    (setup.DOCS / "a.md").write_text("second")

    assert setup.handbook_digest() == before != setup.docs_digest()
    setup._handbook(lambda _: None)
    setup._handbook(lambda _: None)
    assert setup.handbook_digest() == setup.docs_digest()
    assert len(made) == 2


def test_without_a_handbook_there_is_no_digest(made: list[Path]):
    assert setup.handbook_digest() == ""
    assert made == []

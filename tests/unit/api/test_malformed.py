"""What is wrong with a file is said in full: file, line, document, field and fix, for every document at once."""

from pathlib import Path

import pytest

from folio_api.load import Text, load

MALFORMED = Path(__file__).parent / "malformed"
FILES = sorted(MALFORMED.glob("*.yaml"))
JARGON = ("pydantic", "validation error", "Input should", "type=", "Extra inputs", "Traceback")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_malformed_file_is_answered_with_exactly_these_errors(file):
    errors = load([Text(file.name, file.read_text())]).errors
    assert "".join(f"{error}\n" for error in errors) == file.with_suffix(".txt").read_text()


def test_every_malformed_file_has_an_error_of_one_line_without_jargon():
    assert len(FILES) >= 40
    for file in FILES:
        told = file.with_suffix(".txt").read_text()
        assert told.strip(), file.name
        assert not [word for word in JARGON if word in told], file.name
        assert all(line.startswith(file.name) for line in told.splitlines()), file.name


def test_the_errors_of_all_files_come_at_once():
    errors = load(FILES).errors
    assert {Path(error.file).name for error in errors} == {file.name for file in FILES}


def test_an_error_never_shows_what_may_be_a_key():
    text = (MALFORMED / "a-secret-written-out.yaml").read_text()
    errors = load([Text("a.yaml", text)]).errors
    assert "sk-123" in text
    assert not [error for error in errors if "sk-123" in str(error)]

"""Files to sections: headings, and the paragraphs below them, whatever the format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from folio_serving.retrieve.html import html_sections
from folio_serving.retrieve.rst import rst_sections
from folio_serving.retrieve.sections import Paragraph, Section

FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


class DocumentError(Exception):
    """A file that cannot be read as text; the message says why."""


@dataclass(frozen=True)
class Document:
    source: str
    """The file's path below the directory that was indexed, that directory's name included."""
    sections: tuple[Section, ...]


def document_paths(directory: Path) -> list[Path]:
    """Return every file that can be read, sorted; hidden files and directories are left out."""
    return sorted(
        path
        for path in directory.rglob("*")
        if path.suffix.lower() in READERS
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(directory).parts)
    )


def read_document(path: Path, directory: Path) -> Document:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(f"not UTF-8: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise DocumentError(error.strerror or str(error)) from error
    source = (Path(directory.resolve().name) / path.relative_to(directory)).as_posix()
    return Document(source, tuple(READERS[path.suffix.lower()](text, path.stem)))


def _markdown_sections(text: str, name: str) -> Iterator[Section]:
    markdown = MarkdownIt("commonmark").enable("table")
    return html_sections(markdown.render(FRONT_MATTER.sub("", text)), name)


def _text_sections(text: str, name: str) -> Iterator[Section]:
    paragraphs = tuple(
        Paragraph(" ".join(block.split())) for block in re.split(r"\n\s*\n", text) if block.strip()
    )
    if paragraphs:
        yield Section((name,), "", paragraphs)


READERS: dict[str, Callable[[str, str], Iterator[Section]]] = {
    ".md": _markdown_sections,
    ".markdown": _markdown_sections,
    ".html": html_sections,
    ".htm": html_sections,
    ".rst": rst_sections,
    ".txt": _text_sections,
}
"""By suffix: the file's text and its name without the suffix, which titles what has no heading."""

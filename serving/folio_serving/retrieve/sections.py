"""A section of a document, and the outline that gives it its place and its anchor."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Paragraph:
    text: str
    whole: bool = False
    """A table's row or a piece of code: no full stop in it ends a sentence."""


@dataclass(frozen=True)
class Section:
    titles: tuple[str, ...]
    """Headings from the document's title down to the section's own."""
    anchor: str
    """What follows # in a link to the section; empty for the text before the first heading."""
    paragraphs: tuple[Paragraph, ...]


class Outline:
    """Where in a document a reader stands; every heading opens a section."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._open: list[tuple[int, str]] = []
        self._anchor = ""
        self._seen: Counter[str] = Counter()
        self._paragraphs: list[Paragraph] = []

    def add(self, text: str, *, whole: bool = False) -> None:
        if text:
            self._paragraphs.append(Paragraph(text, whole))

    def heading(self, level: int, title: str, anchor: str | None = None) -> Section | None:
        """Open the section below this heading, and return the one that it ends, unless that one is empty."""
        ended = self.end()
        self._open = [above for above in self._open if above[0] < level] + [(level, title)]
        self._anchor = anchor or self._unique(slug(title))
        return ended

    def end(self) -> Section | None:
        paragraphs, self._paragraphs = tuple(self._paragraphs), []
        if not paragraphs:
            return None
        return Section(tuple(title for _, title in self._open) or (self._name,), self._anchor, paragraphs)

    def _unique(self, name: str) -> str:
        times = self._seen[name]
        self._seen[name] += 1
        return f"{name}-{times}" if times else name


def slug(title: str) -> str:
    """Return the anchor that the usual Markdown renderers give a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")

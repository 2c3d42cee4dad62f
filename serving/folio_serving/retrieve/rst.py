"""reStructuredText to sections. Directives lose their markup and keep their content."""

from __future__ import annotations

import re
from collections.abc import Iterator

from folio_serving.retrieve.sections import Outline, Section

ADORNMENT = re.compile(r"^([=\-~^\"'`#*+.:_])\1{2,}$")
DIRECTIVE = re.compile(r"^\.\. .*$|^\s*:[\w-]+:( .*)?$")
ROLE = re.compile(r"(?::[\w:+.-]+:)?`([^`<]+?)(?:\s*<[^>]*>)?`_{0,2}")
LITERAL = re.compile(r"``([^`]+)``")
BULLET = re.compile(r"^\s*(?:[-*+]|\d+\.|#\.)\s+")


def rst_sections(text: str, name: str) -> Iterator[Section]:
    outline = Outline(name)
    levels: list[str] = []
    for block in _blocks(text.splitlines()):
        if isinstance(block, str):
            outline.add(block)
            continue
        title, adornment = block
        if adornment not in levels:
            levels.append(adornment)
        ended = outline.heading(levels.index(adornment) + 1, title)
        if ended is not None:
            yield ended
    last = outline.end()
    if last is not None:
        yield last


def _blocks(lines: list[str]) -> Iterator[str | tuple[str, str]]:
    """Yield paragraphs as text, and titles with the character that underlines them."""
    paragraph: list[str] = []
    for number, line in enumerate(lines):
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if _is_title(line, below):
            yield from _joined(paragraph)
            paragraph = []
            yield _plain(line), below[0]
        elif ADORNMENT.match(line) or DIRECTIVE.match(line):
            continue
        elif not line.strip() or BULLET.match(line):
            yield from _joined(paragraph)
            paragraph = [BULLET.sub("", line)]
        else:
            paragraph.append(line)
    yield from _joined(paragraph)


def _is_title(line: str, below: str) -> bool:
    text = line.strip()
    return (
        bool(text) and not ADORNMENT.match(line) and bool(ADORNMENT.match(below)) and len(below) >= len(text)
    )


def _joined(lines: list[str]) -> Iterator[str]:
    text = _plain(" ".join(" ".join(lines).split()))
    if text:
        yield text


def _plain(text: str) -> str:
    text = ROLE.sub(r"\1", LITERAL.sub(r"\1", text.strip()))
    return re.sub(r"::$", ":", text.replace("**", ""))

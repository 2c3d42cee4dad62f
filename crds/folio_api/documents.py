"""YAML as kubectl reads it, as JSON values with their lines. One broken document does not hide the next."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from folio_api.errors import Complaint, Path
from folio_api.types import shown

LARGEST = 2**63
MOST_NODES = 100_000
DEEPEST = 64
PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "timestamp")}


@dataclass(frozen=True)
class Document:
    """One YAML document: a JSON value, or the reasons why there is none."""

    number: int
    line: int
    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    complaints: tuple[Complaint, ...] = ()

    def line_of(self, path: Path) -> int:
        """The line of the field, or of the nearest part around it that is written."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.line)


def documents(text: str) -> Iterator[Document]:
    """The documents of a file that hold anything."""
    number = 0
    for first_line, chunk in _chunks(text):
        if any(line.split("#")[0].strip() not in ("", "---", "...") for line in chunk.splitlines()):
            number += 1
            yield _document(number, first_line, chunk)


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """Cut at the markers, which YAML allows nowhere else in the first column."""
    start = 1
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        if re.match(r"---(\s|$)", line) and lines:
            yield start, "".join(lines)
            start, lines = number, []
        lines.append(line)
    yield start, "".join(lines)


def _document(number: int, first_line: int, chunk: str) -> Document:
    try:
        loader = yaml.SafeLoader(chunk)
        node = loader.get_single_node()
        reader = _Reader(loader, first_line)
        value = reader.read(node, ()) if node else None
    except RecursionError:
        return Document(number, first_line, complaints=(Complaint((), "is not YAML: too large or too deep"),))
    except yaml.MarkedYAMLError as error:
        line = first_line + (error.problem_mark.line if error.problem_mark else 0)
        return Document(number, line, complaints=(Complaint((), _syntax(error, first_line)),))
    except yaml.reader.ReaderError as error:
        message = f"is not text: the character #x{ord(str(error.character)[0]):04x} is not allowed in YAML"
        return Document(number, first_line, complaints=(Complaint((), message),))
    line = first_line + (node.start_mark.line if node else 0)
    return Document(number, line, value, reader.lines, tuple(reader.complaints))


SYNTAX = (
    (r"character '\\t'", "a tab: indent with spaces"),
    (r"character '(.)' that cannot start", r"\1 cannot begin a value: put the value in quotes"),
    (
        r"mapping values are not allowed",
        "a second colon, or a wrong indentation: put a text with a colon in quotes",
    ),
    (r"could not find expected ':'", "a line without a colon: write FIELD: VALUE"),
    (r"expected <block end>", "a wrong indentation: fields of one mapping begin in one column"),
    (r"but (found|got) '<stream end>'", "a bracket that is never closed"),
    (r"expected ',' or", "a bracket that is never closed, or a missing comma"),
    (r"unexpected end of stream", "a quote that is never closed"),
    (r"undefined alias '(.*)'", r"*\1 stands for nothing: write the value, or &\1 before it"),
)


def _syntax(error: yaml.MarkedYAMLError, first_line: int) -> str:
    problem = error.problem or "it cannot be read"
    match, told = next(
        ((m, t) for pattern, t in SYNTAX if (m := re.search(pattern, problem))), (None, problem)
    )
    text = match.expand(told) if match else told
    since = ""
    if error.context_mark and error.problem_mark and error.context_mark.line != error.problem_mark.line:
        since = f" (it begins in line {first_line + error.context_mark.line})"
    return f"is not YAML: {text}{since}"


def _text(text: str) -> str:
    """JSON escapes one character past U+FFFF as two halves; a half alone becomes the replacement sign."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Reader:
    """Turns one tree of nodes into a JSON value."""

    def __init__(self, loader: yaml.SafeLoader, first_line: int) -> None:
        self.lines: dict[Path, int] = {}
        self.complaints: list[Complaint] = []
        self._loader = loader
        self._first_line = first_line
        self._count = 0

    def read(self, node: yaml.Node, path: Path) -> Any:
        self._count += 1
        if self._count > MOST_NODES or len(path) > DEEPEST:
            raise yaml.MarkedYAMLError(problem="too large or too deep", problem_mark=node.start_mark)
        self.lines.setdefault(path, self._first_line + node.start_mark.line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        if node.tag not in PLAIN_TAGS:
            self.complaints.append(Complaint(path, f"the tag {node.tag} is not allowed: write a plain value"))
            return None
        if node.tag.endswith(":timestamp"):
            return node.value
        value = self._loader.construct_object(node)
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, float | int) and not abs(value) < LARGEST:
            number = shown(node.value)[1:-1]
            self.complaints.append(Complaint(path, f"{number} is not a number that can be used"))
            return None
        return value

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        self._refuse_repeated(node, path)
        self._loader.flatten_mapping(node)
        result = {}
        for key_node, value_node in node.value:
            key = _text(str(key_node.value))
            self.lines[*path, key] = self._first_line + key_node.start_mark.line
            result[key] = self.read(value_node, (*path, key))
        return result

    def _refuse_repeated(self, node: yaml.MappingNode, path: Path) -> None:
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            key, line = str(key_node.value), self._first_line + key_node.start_mark.line
            if key in seen:
                message = f"is written twice, first in line {seen[key]}: remove one"
                self.complaints.append(Complaint((*path, key), message))
            seen.setdefault(key, line)

"""HTML to sections. A table's row is read as `heading: cell` pairs, so that it means something by itself."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

from folio_serving.retrieve.sections import Outline, Section

HEADINGS = {f"h{level}": level for level in range(1, 7)}
UNREAD = frozenset({"script", "style", "head", "nav", "footer", "template", "svg"})
BLOCKS = frozenset(
    {"p", "li", "dt", "dd", "pre", "blockquote", "div", "section", "article", "main", "aside"}
    | {"figure", "figcaption", "ul", "ol", "dl", "table"}
)


def html_sections(text: str, name: str) -> Iterator[Section]:
    reader = _Reader(name)
    reader.feed(text)
    reader.close()
    yield from reader.finished()


class _Reader(HTMLParser):
    def __init__(self, name: str) -> None:
        super().__init__(convert_charrefs=True)
        self._outline = Outline(name)
        self._sections: list[Section] = []
        self._text: list[str] = []
        self._anchor: str | None = None
        self._unread_depth = 0
        self._preformatted = False
        self._columns: list[str] = []
        self._cells: list[str] = []

    def finished(self) -> list[Section]:
        self._paragraph()
        self._keep(self._outline.end())
        return self._sections

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in UNREAD:
            self._unread_depth += 1
        elif tag in HEADINGS:
            self._paragraph()
            self._anchor = dict(attrs).get("id")
        elif tag in BLOCKS:
            self._paragraph()
            self._preformatted = tag == "pre"
            if tag == "table":
                self._columns = []
        elif tag == "br":
            self._text.append(" ")
        elif tag == "tr":
            self._cells = []

    def handle_endtag(self, tag: str) -> None:
        if tag in UNREAD:
            self._unread_depth = max(0, self._unread_depth - 1)
        elif tag in HEADINGS:
            self._keep(self._outline.heading(HEADINGS[tag], self._taken(), self._anchor))
        elif tag in ("td", "th"):
            self._cells.append(self._taken())
        elif tag == "tr":
            self._row()
        elif tag in BLOCKS:
            self._paragraph()
            self._preformatted = False

    def handle_data(self, data: str) -> None:
        if not self._unread_depth:
            self._text.append(data)

    def _row(self) -> None:
        if not self._columns:
            self._columns = self._cells
            return
        columns = self._columns + [""] * (len(self._cells) - len(self._columns))
        pairs = ((column, cell) for column, cell in zip(columns, self._cells, strict=False) if cell)
        self._outline.add(
            "; ".join(f"{column}: {cell}" if column else cell for column, cell in pairs), whole=True
        )

    def _paragraph(self) -> None:
        self._outline.add(self._taken(), whole=self._preformatted)

    def _taken(self) -> str:
        text, self._text = "".join(self._text), []
        return text.strip("\n") if self._preformatted else " ".join(text.split())

    def _keep(self, section: Section | None) -> None:
        if section is not None:
            self._sections.append(section)

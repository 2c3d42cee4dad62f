from __future__ import annotations

from pathlib import Path

import pytest

from folio_serving.retrieve.documents import DocumentError, document_paths, read_document
from folio_serving.retrieve.sections import Section


def sections(directory: Path, name: str, text: str) -> tuple[Section, ...]:
    (directory / name).write_text(text)
    return read_document(directory / name, directory).sections


def texts(section: Section) -> list[str]:
    return [paragraph.text for paragraph in section.paragraphs]


def test_markdown_headings_make_sections_with_their_titles_and_anchors(tmp_path: Path) -> None:
    found = sections(
        tmp_path,
        "a.md",
        "# Guide\n\nIntro.\n\n## Set-up & use\n\nStep.\n\n### Deep\n\nMore.\n\n## Next\n\nEnd.\n",
    )
    assert [(section.titles, section.anchor) for section in found] == [
        (("Guide",), "guide"),
        (("Guide", "Set-up & use"), "set-up--use"),
        (("Guide", "Set-up & use", "Deep"), "deep"),
        (("Guide", "Next"), "next"),
    ]
    assert texts(found[1]) == ["Step."]


def test_repeated_headings_get_anchors_of_their_own(tmp_path: Path) -> None:
    found = sections(tmp_path, "a.md", "# One\n\na\n\n# One\n\nb\n")
    assert [section.anchor for section in found] == ["one", "one-1"]


def test_inline_marks_and_links_are_read_as_text(tmp_path: Path) -> None:
    (found,) = sections(tmp_path, "a.md", "# T\n\nUse **bold** `code` and [a link](http://x.example) here.\n")
    assert texts(found) == ["Use bold code and a link here."]


def test_a_table_row_carries_its_columns(tmp_path: Path) -> None:
    (found,) = sections(
        tmp_path, "a.md", "# T\n\n| bike | day. Net |\n|---|---|\n| City | 15. Fixed |\n| | 3 |\n"
    )
    assert texts(found) == ["bike: City; day. Net: 15. Fixed", "day. Net: 3"]
    assert all(paragraph.whole for paragraph in found.paragraphs)


def test_code_keeps_its_lines(tmp_path: Path) -> None:
    (found,) = sections(tmp_path, "a.md", "# T\n\n```\nfirst --x\n  second\n```\n")
    assert texts(found) == ["first --x\n  second"]


def test_front_matter_is_not_text(tmp_path: Path) -> None:
    (found,) = sections(tmp_path, "a.md", "---\nowner: me\n---\nHello.\n")
    assert (found.titles, found.anchor, texts(found)) == (("a",), "", ["Hello."])


def test_html_is_read_without_its_scripts_styles_and_menus(tmp_path: Path) -> None:
    page = (
        "<html><head><title>x</title><style>p{}</style></head><nav>Menu</nav><h1>T</h1><p>One<br>two &amp; three</p>"
        "<h2 id=own>Sub</h2><ul><li>a</li><li>b</li></ul><script>var x = 'no'</script></html>"
    )
    first, second = sections(tmp_path, "a.html", page)
    assert (first.titles, texts(first)) == (("T",), ["One two & three"])
    assert (second.anchor, texts(second)) == ("own", ["a", "b"])


def test_rst_titles_lists_roles_and_directives(tmp_path: Path) -> None:
    text = (
        "=====\nGuide\n=====\n\nSee :ref:`the page <page>` and ``x``.\n\nPart\n====\n\n* one\n* two\n  more\n\n"
        ".. note::\n   :class: big\n\n   Mind it.\n\nInner\n-----\n\nEnd\nhere.\n"
    )
    guide, part, inner = sections(tmp_path, "a.rst", text)
    assert (guide.titles, texts(guide)) == (("Guide",), ["See the page and x."])
    assert texts(part) == ["one", "two more", "Mind it."]
    assert (inner.titles[-1], texts(inner)) == ("Inner", ["End here."])


def test_plain_text_is_titled_by_its_file(tmp_path: Path) -> None:
    (found,) = sections(tmp_path, "hours.txt", "First\nline.\n\nSecond.\n")
    assert (found.titles, texts(found)) == (("hours",), ["First line.", "Second."])


def test_the_source_is_the_path_below_the_directory_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "docs" / "guide").mkdir(parents=True)
    path = tmp_path / "docs" / "guide" / "x.md"
    path.write_text("# X\n\ny\n")
    assert read_document(path, tmp_path / "docs").source == "docs/guide/x.md"


def test_hidden_and_unknown_files_are_left_out(tmp_path: Path) -> None:
    for name in ("a.md", "b.py", ".c.md"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "d.md").write_text("x")
    assert [path.name for path in document_paths(tmp_path)] == ["a.md"]


def test_a_file_that_is_not_utf8_says_where(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9 au lait")
    with pytest.raises(DocumentError, match=r"not UTF-8: .* at byte 3"):
        read_document(tmp_path / "a.txt", tmp_path)

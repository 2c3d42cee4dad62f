"""Links between the pages hold, and no decision is left out of its index."""

import re
from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)[^)]*\)")
CODE = re.compile(r"`[^`\n]+`|^```.*?^```|^ {4}[^\n]+$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|[`(\"] ?| {4})(?:kubectl )?folio ([a-z]+)\b([^`\n]*)", re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])(--?[a-z][a-z-]*)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def test_every_relative_link_leads_to_a_file(repository):
    broken = [
        f"{page}: {target}"
        for page in repository.files
        if page.suffix == ".md"
        for target in LINK.findall(FENCED.sub("", repository.text(page)))
        if "://" not in target and not (repository.root / page.parent / target).exists()
    ]
    assert broken == []


def test_every_decision_stands_in_the_index(repository):
    folder = Path("docs/decisions")
    index = repository.text(folder / "README.md")
    decisions = [path.name for path in repository.files if path.parent == folder and path.name != "README.md"]
    assert [name for name in decisions if f"]({name})" not in index] == []


def test_the_guides_name_only_targets_that_make_help_lists(repository):
    listed = set(re.findall(r"^([a-z0-9-]+):.*## ", repository.text(Path("Makefile")), re.MULTILINE))
    guides = repository.text(Path("README.md")) + repository.text(Path("CONTRIBUTING.md"))
    code = " ".join(CODE.findall(guides))
    assert set(re.findall(r"\bmake ([a-z0-9-]+)\b", code)) <= listed


def test_the_guides_name_only_commands_and_options_that_there_are(repository):
    sections = repository.text(Path("docs/reference/cli.md")).split("\n## folio ")[1:]
    known = {name: set(OPTION.findall(text)) for name, _, text in (each.partition("\n") for each in sections)}
    pages = [path for path in repository.files if path.parent == Path("docs/guide")]
    wrong = [
        f"{page}: folio {name} {option}"
        for page in pages
        for block in CODE.findall(repository.text(page))
        for name, rest in COMMAND.findall(block)
        for option in OPTION.findall(rest.partition("#")[0].partition("|")[0]) or [""]
        if name not in known or (option and option not in known[name])
    ]
    assert wrong == []

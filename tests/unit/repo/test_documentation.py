"""Links between the pages hold, and no decision is left out of its index."""

import re
from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)[^)]*\)")
CODE = re.compile(r"`[^`\n]+`|^```.*?^```|^ {4}[^\n]+$", re.MULTILINE | re.DOTALL)
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

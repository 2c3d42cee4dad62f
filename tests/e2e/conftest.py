"""The cluster of KUBECONFIG, and the table that `make e2e` ends with: each story, its seconds, its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from kubernetes import client
from tests.crds.conftest import api  # noqa: F401 - a fixture
from tests.e2e.kuberay import KubeRay, installed


@dataclass
class Told:
    """What a story has to tell at the end."""

    title: str
    seconds: float = 0.0
    outcome: str = "passed"
    figures: list[str] = field(default_factory=list)


STORIES = pytest.StashKey[dict[str, Told]]()


@pytest.fixture(scope="session")
def kuberay(api: client.ApiClient) -> KubeRay:  # noqa: F811
    found = installed(api)
    if found is None:
        pytest.skip("KubeRay is not installed on this cluster")
    return found


@pytest.fixture
def figure(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a figure whatever pytest captures, and once more in the table at the end."""

    def show(text: str) -> None:
        _told(request.node).figures.append(text)
        with capsys.disabled():
            print(f"\n  {text}", end="")

    return show


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STORIES] = {}


def _told(item: pytest.Item) -> Told:
    """Return the story of a test: its file, named by the first sentence of the docstring."""
    module = item.getparent(pytest.Module)
    assert module is not None
    title = (module.obj.__doc__ or module.name).strip().splitlines()[0].rstrip(".")
    return item.config.stash[STORIES].setdefault(module.nodeid, Told(title))


def _place(told: Told) -> tuple[int, str]:
    """Stories are told by their numbers; what has none comes first."""
    number, _, rest = told.title.partition(":")
    return (int(number), rest) if number.isdigit() else (0, told.title)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    told = _told(item)
    told.seconds += report.duration
    if report.failed:
        told.outcome = "FAILED"
    elif report.skipped and told.outcome == "passed":
        told.outcome = "skipped"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    stories = config.stash[STORIES].values()
    if not stories:
        return
    terminalreporter.section("stories")
    for each in sorted(stories, key=_place):
        terminalreporter.line(f"{each.outcome:8} {each.seconds:6.1f} s  {each.title}")
        for text in each.figures:
            terminalreporter.line(f"{'':19}{text}")

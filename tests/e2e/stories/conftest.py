"""Folio, installed once for all stories of this folder, and a namespace for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kubernetes import client
from tests.e2e.kuberay import KubeRay
from tests.e2e.stories.release import Release, missing_programs
from tests.e2e.stories.story import Story

RUNNING = pytest.StashKey[Story]()


@pytest.fixture(scope="session")
def release(api: client.ApiClient, kuberay: KubeRay) -> Iterator[Release]:
    if missing := missing_programs():
        pytest.fail(f"{' and '.join(missing)} must be on PATH: install what is missing", pytrace=False)
    found = Release(api)
    try:
        found.install()
        yield found
    finally:
        found.uninstall()


@pytest.fixture(scope="module")
def story(request: pytest.FixtureRequest, api: client.ApiClient, release: Release) -> Iterator[Story]:
    found = Story.begin(api, release)
    request.config.stash[RUNNING] = found
    try:
        found.client.start()
        yield found
    finally:
        del request.config.stash[RUNNING]
        found.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """A failure comes with what the cluster looked like at that moment."""
    report = yield
    running = item.config.stash.get(RUNNING, None)
    if report.failed and running is not None:
        try:
            report.sections.append(("the story's cluster", running.diagnosis()))
        except Exception as error:  # noqa: BLE001 - the failure itself must be told whatever befalls this
            report.sections.append(("the story's cluster", f"cannot be shown: {error!r}"))
    return report

"""10: a chart upgrade under load loses no request and rolls nothing.

The chart before is the newest of tests/chart/previous. Until there is one it is this chart under an older version, with
the serving image by another name: what the operator renders then differs, as from release to release.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.stories import light
from tests.e2e.stories.release import CHART, NAMESPACE, ROOT, run
from tests.e2e.stories.story import Story
from tests.e2e.world import wait_for

from folio_operator import cluster as kinds

PREVIOUS = sorted(
    (ROOT / "tests/chart/previous").glob("folio-*.tgz"),
    key=lambda path: [int(number) for number in re.findall(r"\d+", path.stem)],
)
OLDER = "0.0.9"
OTHER_NAME = "servingImage.repository=docker.io/folio/serving"
"""The same image to a node, another to the operator."""
SETTLED_SECONDS = 10
"""Long enough for the new operator to do what it would do."""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if PREVIOUS:
        return PREVIOUS[-1]
    chart = tmp_path_factory.mktemp("before") / "folio"
    shutil.copytree(CHART, chart)
    about = chart / "Chart.yaml"
    about.write_text(about.read_text().replace("\nversion: ", f"\nversion: {OLDER} # "))
    return chart


@pytest.fixture(scope="module")
def desk(story: Story, before: Path) -> Iterator[Story]:
    """The portfolio, brought up by the chart before."""
    story.release.install(*(() if PREVIOUS else (OTHER_NAME,)), chart=before)
    story.apply(light.everything(story.client.start_provider()))
    answer = story.client.chat("desk", "my bicycle", seconds=180)
    assert answer.status == 200, answer.text
    story.wait_ready("desk")
    yield story
    story.release.install()


def ray_service(story: Story) -> dict[str, Any]:
    found = story.namespace.get(kinds.RAY_SERVICE, "desk")
    assert found is not None
    return found


def running(story: Story) -> set[str]:
    return {each["metadata"]["uid"] for each in story.pods("desk")}


def chart_of_the_release() -> str:
    return run("helm", "list", "--namespace", NAMESPACE)


def leads(story: Story) -> bool:
    pods = {each.metadata.name for each in story.release.pods() if not each.metadata.deletion_timestamp}
    return len(pods) == 1 and f"{pods.pop()} holds the Lease" in story.release.log(200)


def test_an_upgrade_under_load_loses_nothing_and_rolls_nothing(desk: Story, figure: Callable[[str], None]):
    service, pods = ray_service(desk), running(desk)
    operators = {each.metadata.uid for each in desk.release.pods()}
    with desk.client.load("desk", "my bicycle") as load:
        time.sleep(3)
        began = time.monotonic()
        desk.release.install()
        wait_for("the new operator leads", lambda: leads(desk), 30)
        led = time.monotonic() - began
        # A word that makes the new operator look at the portfolio at once.
        desk.namespace.merge(
            kinds.PORTFOLIO, "desk", {"metadata": {"annotations": {"folio.dev/refresh": "now"}}}
        )
        time.sleep(SETTLED_SECONDS)
    figure(
        f"helm upgrade --wait {desk.release.seconds:.1f} s, the new operator leads {led:.1f} s after its begin"
    )
    figure(f"chart upgrade under load: {load.figure()}")

    assert OLDER not in chart_of_the_release()
    assert not operators & {each.metadata.uid for each in desk.release.pods()}
    assert not load.lost, load.losses()
    after = ray_service(desk)
    assert after["metadata"]["uid"] == service["metadata"]["uid"]
    assert after["metadata"]["generation"] == service["metadata"]["generation"]
    assert running(desk) == pods
    assert desk.condition("desk", "Ready")[0] == "True"


def test_the_new_image_is_offered_and_edits_stay_in_place_meanwhile(
    desk: Story, figure: Callable[[str], None]
):
    pods = running(desk)
    offered = wait_for("the new image is offered", lambda: desk.status("desk").get("plan"), 30)
    assert offered["effect"] == "NewCluster"
    with desk.client.load("desk", "my bicycle") as load:
        time.sleep(2)
        desk.apply(light.policy("1.00"))
        took = desk.wait_condition("default", "Programmed", kind=kinds.POLICY, seconds=60)
        time.sleep(SETTLED_SECONDS)
    figure(f"a policy edit after the upgrade, in place {took:.1f} s after its apply: {load.figure()}")
    assert not load.lost, load.losses()
    assert load.requests[-1].model == "provider"
    assert running(desk) == pods

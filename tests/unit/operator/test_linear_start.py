"""kopf's start barrier as we change it: it still holds everybody back, and wakes nobody in vain."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from kopf._cogs.aiokits.aiotoggles import ToggleSet

from folio_operator import linear_start

OBJECTS = 400


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("make_toggle", "drop_toggle", "drop_toggles"):
        monkeypatch.setattr(ToggleSet, name, getattr(ToggleSet, name))
    linear_start.install()


async def wake_ups(objects: int) -> int:
    """Index so many objects as kopf does: each holds a toggle, drops it, and waits for all others."""
    toggles, looks = ToggleSet(all), 0
    original = toggles.is_on

    async def index(toggle: object) -> None:
        await toggles.drop_toggle(toggle)  # type: ignore[arg-type]
        await asyncio.wait_for(toggles.wait_for(True), timeout=30)

    def counted() -> bool:
        nonlocal looks
        looks += 1
        return original()

    toggles.is_on = counted  # type: ignore[method-assign]
    made = [await toggles.make_toggle(name=str(number)) for number in range(objects)]
    tasks = []
    for toggle in made:  # one event after the other, as a watch brings them
        tasks.append(asyncio.create_task(index(toggle)))
        await asyncio.sleep(0.0005)
    await asyncio.gather(*tasks)
    assert original()
    return looks


async def test_looks_at_the_barrier_grow_with_the_objects_and_not_with_their_square(changed: None):
    assert await wake_ups(OBJECTS) <= 12 * OBJECTS


async def test_kopf_itself_still_needs_the_change():
    """When this fails, kopf has become linear: drop linear_start.py."""
    assert await wake_ups(OBJECTS) > 50 * OBJECTS


async def test_the_barrier_opens_only_when_the_last_object_is_indexed(changed: None):
    toggles = ToggleSet(all)
    first, second = await toggles.make_toggle(), await toggles.make_toggle()
    waiting = asyncio.create_task(toggles.wait_for(True))
    await toggles.drop_toggle(first)
    await asyncio.sleep(0)
    assert not waiting.done()
    await toggles.drop_toggle(second)
    await asyncio.wait_for(waiting, timeout=1)


def test_the_methods_that_we_replace_take_what_they_took():
    for name, ours in (
        ("make_toggle", linear_start._make_toggle),
        ("drop_toggle", linear_start._drop_toggle),
        ("drop_toggles", linear_start._drop_toggles),
    ):
        theirs = inspect.signature(getattr(ToggleSet, name)).parameters.values()
        kinds = [(each.kind, each.default) for each in theirs]
        assert [(each.kind, each.default) for each in inspect.signature(ours).parameters.values()] == kinds

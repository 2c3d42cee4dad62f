"""Lists put right what watches missed."""

from __future__ import annotations

import pytest
from tests.unit.operator.shell import DESK, Shell

from folio_api.meta import Key
from folio_operator import cluster as kinds
from folio_operator.cluster import ApiError
from folio_operator.resync import Resync
from folio_operator.work import Item

DEFAULT = Key("bank", "default")


@pytest.fixture
def shell() -> Shell:
    shell = Shell().with_key()
    shell.write()
    return shell


def resync(shell: Shell, put: list[Item]) -> Resync:
    return Resync(shell.cluster, shell.store, shell.gatherer, put.append, grace_seconds=0)


async def test_a_deletion_that_no_watch_told_is_noticed(shell: Shell):
    put: list[Item] = []
    del shell.cluster.objects[kinds.POLICY, DEFAULT]  # the API server forgot it; nobody told the store
    await resync(shell, put).once(kinds.POLICY)

    assert shell.store.get(kinds.POLICY, DEFAULT) is None
    assert put == [Item(kinds.POLICY, DEFAULT), Item(kinds.PORTFOLIO, DESK)]


async def test_a_change_that_no_watch_told_is_noticed(shell: Shell):
    put: list[Item] = []
    shell.cluster.objects[kinds.PORTFOLIO, DESK]["metadata"]["resourceVersion"] = "999"
    await resync(shell, put).once(kinds.PORTFOLIO)

    assert put == [Item(kinds.PORTFOLIO, DESK)]


async def test_traces_that_agree_ask_for_no_pass_and_for_no_object(
    shell: Shell, caplog: pytest.LogCaptureFixture
):
    put: list[Item] = []
    await shell.pass_over()
    shell.cluster.refused.update({("list", kind.name): ApiError(500, "asked") for kind in kinds.WATCHED})
    for kind in kinds.WATCHED:
        await resync(shell, put).once(kind)
    assert put == []
    assert "asked" not in caplog.text


async def test_objects_of_others_stay_out_of_the_store(shell: Shell):
    put: list[Item] = []
    foreign = {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": "x", "namespace": "bank"},
    }
    shell.cluster.add(foreign)
    shell.store.drop(shell.cluster.one(kinds.RAY_SERVICE, "x"))
    await resync(shell, put).once(kinds.RAY_SERVICE)

    assert shell.store.count(kinds.RAY_SERVICE) == 0


@pytest.mark.parametrize("verb", ["traces", "list"])
async def test_a_list_that_fails_drops_nothing(shell: Shell, verb: str):
    put: list[Item] = []
    shell.cluster.objects[kinds.POLICY, DEFAULT]["metadata"]["uid"] = "another"
    shell.cluster.refused[verb, "RoutingPolicy"] = ApiError(404, "no such kind")
    await resync(shell, put).once(kinds.POLICY)

    assert shell.store.get(kinds.POLICY, DEFAULT) is not None


async def test_watches_that_show_less_than_lists_time_after_time_are_stuck(shell: Shell):
    one = resync(shell, [])
    one.every_seconds = 0
    assert not one.watches_are_stuck
    one.misses_in_a_row = 2
    assert one.watches_are_stuck

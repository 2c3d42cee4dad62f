"""When a Secret that no watch shows is looked at again."""

from __future__ import annotations

import pytest
from tests.unit.operator.fake_cluster import FakeCluster
from tests.unit.operator.shell import FRONTIER_KEY, Clock

from folio_api.meta import Key
from folio_operator.cluster import SECRET
from folio_operator.credentials import Reader
from folio_operator.store import Store

KEY = Key("bank", "frontier")
SPREAD = 0.2


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(Store(), now=Clock().now)


def add_key(cluster: FakeCluster) -> None:
    cluster.add({**FRONTIER_KEY, "metadata": {"name": KEY.name, "namespace": KEY.namespace}})


async def waits(reader: Reader, clock: Clock, times: int) -> list[float]:
    """Return the seconds between so many looks, each when it is due."""
    found = []
    for _ in range(times):
        await reader.read(SECRET, KEY)
        found.append(reader.seconds_until_due(SECRET, KEY))
        clock.seconds += found[-1]
    return found


async def test_a_missing_one_is_looked_for_after_5_s_and_then_ever_more_rarely_up_to_60(cluster: FakeCluster):
    clock = Clock()
    found = await waits(Reader(cluster, clock), clock, 7)

    assert found == [pytest.approx(each, rel=SPREAD) for each in (5, 10, 20, 40, 60, 60, 60)]


async def test_one_that_is_there_is_looked_at_every_ten_minutes_and_never_between(cluster: FakeCluster):
    add_key(cluster)
    clock = Clock()
    reader = Reader(cluster, clock)
    (wait,) = await waits(reader, clock, 1)
    assert wait == pytest.approx(600, rel=SPREAD)

    clock.seconds -= 1
    await reader.read(SECRET, KEY)
    assert len(cluster.reads) == 1
    clock.seconds += 1
    await reader.read(SECRET, KEY)
    assert len(cluster.reads) == 2


async def test_secrets_that_were_read_together_are_not_read_together_again(cluster: FakeCluster):
    add_key(cluster)
    clock = Clock()
    found = [(await waits(Reader(cluster, clock), Clock(), 1))[0] for _ in range(20)]

    assert len(set(found)) > 10
    assert max(found) - min(found) > 60


async def test_one_that_goes_and_is_missed_is_looked_for_soon_again(cluster: FakeCluster):
    add_key(cluster)
    clock = Clock()
    reader = Reader(cluster, clock)
    await waits(reader, clock, 1)
    cluster.remove(SECRET, KEY)

    assert (await waits(reader, clock, 1))[0] == pytest.approx(5, rel=SPREAD)
    add_key(cluster)
    assert (await waits(reader, clock, 1))[0] == pytest.approx(600, rel=SPREAD)


async def test_what_nobody_reads_any_more_goes_when_a_portfolio_goes(cluster: FakeCluster):
    add_key(cluster)
    clock = Clock()
    reader = Reader(cluster, clock)
    await reader.read(SECRET, KEY)

    clock.seconds += 700
    reader.forget(Key("bank", "other"))
    assert reader.known(SECRET, KEY) is not None, "others may refer to it still, and read it when it is due"

    clock.seconds += 700
    reader.forget(Key("bank", "other"))
    assert reader.known(SECRET, KEY) is None

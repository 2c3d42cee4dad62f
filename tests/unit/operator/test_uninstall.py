"""What `helm uninstall` asks of the operator's image before anything is deleted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from tests.unit.operator.fake_cluster import FakeCluster
from tests.unit.operator.test_lease import FakeLease

from folio_api.meta import API_VERSION, Key
from folio_operator.cluster import PORTFOLIO, ApiError
from folio_operator.lease import ConflictError, Record, Terms
from folio_operator.leaving import FINALIZER
from folio_operator.store import Store
from folio_operator.uninstall import RefusedError, Release, refusal, uninstall, usurp, without_operator

RELEASE = Release("folio", "folio-system", "3")
THEIRS = "example.com/theirs"


@dataclass
class World:
    """A cluster with portfolios, and an operator that notes when it was stopped."""

    cluster: FakeCluster = field(default_factory=lambda: FakeCluster(Store()))
    stopped: list[list[str]] = field(default_factory=list)

    def portfolio(self, namespace: str, name: str, *finalizers: str) -> None:
        metadata = {"namespace": namespace, "name": name, "finalizers": list(finalizers)}
        self.cluster.add({"apiVersion": API_VERSION, "kind": "ModelPortfolio", "metadata": metadata})

    def finalizers(self, namespace: str, name: str) -> list[str]:
        found: list[str] = self.cluster.objects[PORTFOLIO, Key(namespace, name)]["metadata"]["finalizers"]
        return found

    @asynccontextmanager
    async def without_operator(self) -> AsyncIterator[None]:
        self.stopped.append(list(self.cluster.writes))
        yield
        self.stopped.append(list(self.cluster.writes))

    async def asked(self, treatment) -> str:
        return await uninstall(self.cluster, treatment, RELEASE, self.without_operator)


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("treatment", ["Refuse", "Release"])
async def test_nothing_is_done_where_no_portfolio_is_left(world: World, treatment):
    assert await world.asked(treatment) == "no portfolio is left"
    world.cluster.refused["list", "ModelPortfolio"] = ApiError(404, "no such kind")
    assert await world.asked(treatment) == "no portfolio is left"
    assert world.stopped == []


async def test_it_refuses_while_one_is_left_and_touches_nothing(world: World):
    world.portfolio("bank", "desk", FINALIZER)
    world.portfolio("shop", "suspended")
    with pytest.raises(RefusedError, match="bank/desk, shop/suspended"):
        await world.asked("Refuse")
    assert (world.stopped, world.cluster.writes) == ([], [])


async def test_it_refuses_where_it_may_not_look(world: World):
    world.cluster.refused["list", "ModelPortfolio"] = ApiError(403, "forbidden")
    with pytest.raises(ApiError, match="forbidden"):
        await world.asked("Refuse")


def test_a_refusal_is_one_line_with_the_commands_that_help():
    said = refusal([Key("bank", "desk"), Key("shop", "till"), Key("bank", "back")], RELEASE)
    assert "\n" not in said
    assert "bank/back, bank/desk, shop/till." in said
    assert "kubectl delete modelportfolios --all --namespace bank; kubectl delete" in said
    assert "then: helm uninstall folio --namespace folio-system." in said
    assert "helm rollback folio 3 --namespace folio-system" in said


def test_a_refusal_names_ten_of_many():
    said = refusal([Key("bank", f"desk-{number:02}") for number in range(25)], RELEASE)
    assert "bank/desk-09, and 15 more." in said
    assert "bank/desk-10" not in said


async def test_released_they_lose_our_finalizer_alone_once_the_operator_has_stopped(world: World):
    world.portfolio("bank", "desk", THEIRS, FINALIZER)
    world.portfolio("shop", "suspended", THEIRS)
    said = await world.asked("Release")
    assert "bank/desk, shop/suspended" in said
    assert world.stopped == [[], ["patch ModelPortfolio/desk"]], "all was written without an operator"
    assert world.finalizers("bank", "desk") == world.finalizers("shop", "suspended") == [THEIRS]


async def test_one_that_is_being_deleted_goes_when_it_is_let_go(world: World):
    world.portfolio("bank", "desk", FINALIZER)
    world.cluster.end(PORTFOLIO, Key("bank", "desk"))
    await world.asked("Release")
    assert world.cluster.names(PORTFOLIO) == set()


@pytest.mark.parametrize("status", [404, 409, 422])
async def test_one_that_is_gone_or_edited_meanwhile_is_looked_at_again(
    world: World, monkeypatch, status: int
):
    world.portfolio("bank", "desk", FINALIZER)
    patch, answers = world.cluster.patch, [ApiError(status, "meanwhile")]

    async def patched(*arguments):
        if answers:
            raise answers.pop()
        return await patch(*arguments)

    monkeypatch.setattr(world.cluster, "patch", patched)
    await world.asked("Release")
    assert world.finalizers("bank", "desk") == []


async def test_a_finalizer_that_always_comes_back_ends_the_attempt(world: World):
    world.portfolio("bank", "desk", FINALIZER)
    world.cluster.refused["patch", "ModelPortfolio"] = ApiError(409, "edited")
    with pytest.raises(RefusedError, match="another operator"):
        await world.asked("Release")


async def test_a_patch_that_is_forbidden_is_told(world: World):
    world.portfolio("bank", "desk", FINALIZER)
    world.cluster.refused["patch", "ModelPortfolio"] = ApiError(403, "forbidden")
    with pytest.raises(ApiError, match="forbidden"):
        await world.asked("Release")


def test_the_lease_is_taken_from_a_leader_or_made():
    held = FakeLease(Record("operator", 4, "7"))
    taken = usurp(held, "uninstall")
    assert (taken.holder, taken.transitions) == ("uninstall", 5)
    assert held.record == taken
    assert usurp(FakeLease(), "uninstall").holder == "uninstall"


async def test_without_an_operator_the_lease_is_renewed_and_not_released():
    lease, terms = FakeLease(Record("operator", 4, "7")), Terms(duration=0.05, renew_every=0.01)
    async with without_operator(lease, "uninstall", terms):
        begun = lease.record
        lease.down = True
        await asyncio.sleep(0.03)
        lease.down = False
        await asyncio.sleep(0.03)
        renewed = lease.record
    assert begun is not None
    assert renewed is not None
    assert (begun.holder, renewed.holder, renewed.transitions) == ("uninstall", "uninstall", 5)
    assert begun.version != renewed.version
    await asyncio.sleep(0.03)
    assert lease.record is not None
    assert lease.record.holder == "uninstall"


def test_a_leader_that_renews_meanwhile_is_asked_again():
    lease = FakeLease(Record("operator", 4, "7"))
    write, conflicts = lease.write, [ConflictError("renewed"), ConflictError("renewed")]

    def written(record: Record) -> Record:
        if conflicts:
            raise conflicts.pop()
        return write(record)

    lease.write = written  # type: ignore[method-assign]
    assert usurp(lease, "uninstall").holder == "uninstall"

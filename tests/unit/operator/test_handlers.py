"""Which passes an event asks for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.desk import POLICY
from tests.unit.operator.shell import DESK, Shell

from folio_api.meta import Key
from folio_operator import cluster as kinds
from folio_operator.cluster import is_same_edit
from folio_operator.handlers import Wiring, build, settings
from folio_operator.work import Item

DEFAULT = Key("bank", "default")
OF_POLICY = [Item(kinds.POLICY, DEFAULT)]
OF_USERS = [*OF_POLICY, Item(kinds.PORTFOLIO, DESK)]


@pytest.fixture
def asked(shell: Shell) -> list[Item]:
    """What the wiring puts on the queue."""
    found: list[Item] = []
    shell.write()
    shell.wiring = Wiring(shell.store, shell.gatherer, found.append, shell.reconciler.deaths, shell.clock)
    return found


def event(shell: Shell, asked: list[Item], change: str | None, **metadata: Any) -> list[Item]:
    """The watch shows the policy."""
    asked.clear()
    body = shell.cluster.one(kinds.POLICY, "default")
    shell.wiring.event(kinds.POLICY, change, {**body, "metadata": {**body["metadata"], **metadata}})
    return list(asked)


def test_a_policy_asks_for_its_portfolios_once_an_edit_and_not_when_its_status_is_written(
    shell: Shell, asked: list[Item]
):
    assert event(shell, asked, None) == OF_USERS
    shell.cluster.edit(kinds.POLICY, DEFAULT, "status", {"observedGeneration": 1})
    assert event(shell, asked, "MODIFIED", managedFields=[{"manager": "folio"}]) == OF_POLICY
    shell.write({POLICY: {"limits.deadline": "20s"}})
    assert event(shell, asked, "MODIFIED") == OF_USERS
    assert event(shell, asked, "MODIFIED") == OF_POLICY


def test_an_edit_that_our_own_write_brought_along_is_told_when_the_watch_shows_it(
    shell: Shell, asked: list[Item]
):
    """The answer to a status write holds what somebody edited meanwhile: the store has it before the event."""
    event(shell, asked, None)
    shell.write({POLICY: {"limits.deadline": "20s"}})
    shell.store.put(shell.cluster.one(kinds.POLICY, "default"))
    assert event(shell, asked, "MODIFIED") == OF_USERS


def test_the_event_of_our_own_status_asks_for_nothing_and_the_next_one_does(shell: Shell, asked: list[Item]):
    event(shell, asked, None)
    told = {"observedGeneration": 1}
    body = {**shell.cluster.one(kinds.POLICY, "default"), "status": told}
    newer = {**body, "metadata": {**body["metadata"], "resourceVersion": "900"}}
    shell.store.wrote(newer)

    assert event(shell, asked, "MODIFIED", resourceVersion="900") == []
    assert event(shell, asked, "MODIFIED", resourceVersion="901") == OF_POLICY, "somebody else wrote it"


def test_an_edit_is_told_although_a_status_of_ours_was_written_onto_it(shell: Shell, asked: list[Item]):
    event(shell, asked, None)
    before = shell.cluster.one(kinds.POLICY, "default")
    shell.write({POLICY: {"limits.deadline": "20s"}})
    assert not is_same_edit(shell.cluster.one(kinds.POLICY, "default"), before)
    assert event(shell, asked, "MODIFIED") == OF_USERS


def test_a_policy_that_goes_and_comes_back_is_told_both_times(shell: Shell, asked: list[Item]):
    event(shell, asked, None)
    assert event(shell, asked, "DELETED") == OF_USERS
    assert event(shell, asked, "ADDED") == OF_USERS


@pytest.mark.parametrize("namespaced", [True, False])
def test_confined_to_namespaces_kopf_scans_nothing_of_the_cluster(namespaced: bool):
    """Namespaces and definitions are of the cluster, and no Role can list them."""
    assert settings(namespaced=namespaced).scanning.disabled is namespaced


def test_of_what_others_make_only_what_carries_our_label_is_watched():
    selectors = settings(namespaced=False).watching.label_selectors
    labelled = {each.any_name for each in selectors}
    people = {kind.plural for kind in kinds.INPUTS}
    assert labelled == {kind.plural for kind in kinds.WATCHED} - people
    assert set(selectors.values()) == {"app.kubernetes.io/managed-by=folio"}
    assert not settings(namespaced=False).posting.enabled


def test_kopf_is_given_indices_and_events_alone(shell: Shell):
    """Anything else has kopf write finalizers and annotations, and a Secret's watch shows every Secret."""
    registry = build(shell.wiring)
    assert not [*registry._changing.get_all_handlers(), *registry._spawning.get_all_handlers()]
    watched = {each.selector.plural for each in registry._watching.get_all_handlers()}
    assert watched == {kind.plural for kind in kinds.WATCHED}
    assert watched == {each.selector.plural for each in registry._indexing.get_all_handlers()}
    assert not watched & {"secrets", "configmaps"}

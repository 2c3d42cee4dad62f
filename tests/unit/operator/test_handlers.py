"""Which passes an event asks for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.desk import POLICY
from tests.unit.operator.shell import DESK, Shell

from folio_api.meta import Key
from folio_operator import cluster as kinds
from folio_operator.handlers import Wiring
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


def test_a_policy_that_goes_and_comes_back_is_told_both_times(shell: Shell, asked: list[Item]):
    event(shell, asked, None)
    assert event(shell, asked, "DELETED") == OF_USERS
    assert event(shell, asked, "ADDED") == OF_USERS

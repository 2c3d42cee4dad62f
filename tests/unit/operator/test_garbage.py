"""The collector of cycles is kept from what lives, and loses nothing of what is garbage."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from folio_operator.garbage import look


class Node:
    """Garbage that only a look at cycles finds, once its last name is gone."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_lives_is_passed_over_until_our_next_look_which_finds_its_cycles():
    node = Node()
    seen = weakref.ref(node)
    look()
    del node
    gc.collect()
    assert seen() is not None

    look()
    assert seen() is None

"""What the watches have seen, whatever order it comes in."""

from __future__ import annotations

from typing import Any

import pytest

from folio_api.meta import Key
from folio_operator.cluster import POLICY, RAY_SERVICE, REVISION
from folio_operator.store import Store

A = Key("bank", "a")


def policy(version: int, uid: str = "1") -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "bank", "uid": uid, "resourceVersion": str(version)}
    return {"kind": "RoutingPolicy", "metadata": metadata}


def test_a_late_event_does_not_undo_our_own_write():
    store = Store()
    store.put(policy(5))
    assert not store.put(policy(4))
    assert store.get(POLICY, A) == policy(5)


def test_a_late_answer_does_not_bring_back_what_was_deleted():
    store = Store()
    store.put(policy(5))
    store.drop(policy(6))
    assert not store.put(policy(6))
    assert store.get(POLICY, A) is None


def test_what_only_lost_its_label_comes_back_with_its_next_version():
    store = Store()
    store.put(policy(5))
    store.drop(policy(6))
    assert store.put(policy(7))
    assert store.get(POLICY, A) == policy(7)


def test_what_was_found_alive_is_kept_whatever_a_watch_said():
    store = Store()
    store.put(policy(5))
    store.drop(policy(6))
    store.found(policy(6))
    assert store.get(POLICY, A) == policy(6)


def test_a_successor_of_the_same_name_outlives_the_deletion_of_the_first():
    store = Store()
    store.put(policy(5, "1"))
    store.put(policy(2, "2"))
    store.drop(policy(7, "1"))
    assert store.get(POLICY, A) == policy(2, "2")


def test_children_are_found_by_the_label_of_their_portfolio():
    store = Store()
    labels = {"folio.dev/portfolio": "desk"}
    child = {
        "kind": "RayService",
        "metadata": {"name": "s", "namespace": "bank", "uid": "9", "labels": labels},
    }
    store.put(child)
    assert store.children(Key("bank", "desk")) == (child,)
    assert store.children(Key("other", "desk")) == ()
    store.drop(child)
    assert store.children(Key("bank", "desk")) == ()
    assert store.count(RAY_SERVICE) == 0


def revision(name: str, *objects: Any) -> dict[str, Any]:
    labels = {"folio.dev/portfolio": "desk"}
    metadata = {"name": name, "namespace": "bank", "uid": name, "labels": labels}
    return {"kind": "ControllerRevision", "metadata": metadata, "data": {"objects": list(objects)}}


def test_revisions_of_a_portfolio_hold_what_they_have_in_common_once():
    store = Store()
    store.put(revision("a", {"name": "policy"}, {"name": "desk", "edit": 1}))
    store.put(revision("b", {"name": "policy"}, {"name": "desk", "edit": 2}))
    first, second = (store.get(REVISION, Key("bank", name)) for name in "ab")
    assert second == revision("b", {"name": "policy"}, {"name": "desk", "edit": 2})
    assert second["data"]["objects"][0] is first["data"]["objects"][0]


def test_what_python_calls_equal_and_json_does_not_is_not_shared():
    store = Store()
    store.put(revision("a", {"name": "policy", "edit": True}))
    store.put(revision("b", {"name": "policy", "edit": 1}))
    assert store.get(REVISION, Key("bank", "b"))["data"]["objects"][0]["edit"] is not True


@pytest.mark.parametrize("data", [None, "x", {}, {"objects": None}, {"objects": {"a": 1}}])
def test_a_revision_of_another_form_is_kept_as_it_is(data: Any):
    store = Store()
    store.put(revision("a", {"name": "policy"}))
    foreign = {**revision("b"), "data": data}
    store.put(foreign)
    store.put(revision("c", {"name": "policy"}))
    assert store.get(REVISION, Key("bank", "b")) == foreign

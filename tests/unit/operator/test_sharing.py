"""What is the same of many objects is in memory once, and stays what it was."""

from __future__ import annotations

import copy
import json

from folio_operator.sharing import Shared


def body(name: str) -> dict[str, object]:
    rules = [{"ports": [{"protocol": "TCP", "port": 8000}]}, {"ports": []}, {}]
    return {"metadata": {"name": name, "labels": {"team": "desks"}}, "spec": {"ingress": rules}}


def test_equal_parts_of_two_objects_are_one():
    shared = Shared()
    one, other = shared.of(body("a")), shared.of(body("b"))

    assert (one, other) == (body("a"), body("b"))
    assert one["spec"] is other["spec"]
    assert one["metadata"]["labels"] is other["metadata"]["labels"]
    assert one["metadata"] is not other["metadata"]


def test_what_python_calls_equal_and_json_does_not_stays_apart():
    shared = Shared()
    values = [
        {"a": 1},
        {"a": True},
        {"a": 1.0},
        {"a": "1"},
        {"a": None},
        {"a": [1]},
        {"a": [True]},
        {"a": {}},
    ]
    written = [json.dumps(shared.of(each)) for each in values]
    assert written == [json.dumps(each) for each in values]


def test_what_is_given_in_is_neither_kept_nor_changed():
    shared, given = Shared(), body("a")
    before = copy.deepcopy(given)
    shared.of(given)
    assert given == before


def test_nothing_is_confused_after_parts_were_forgotten():
    shared = Shared(most=5)
    for number in range(200):
        name = f"n{number % 7}"
        assert shared.of(body(name)) == body(name)
    assert len(shared._known) < 50

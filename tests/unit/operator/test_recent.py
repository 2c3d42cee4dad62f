"""What is kept while it is used."""

from __future__ import annotations

from folio_operator.recent import Recent


def test_what_was_used_longest_ago_is_forgotten_first():
    recent = Recent[str, int](2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)

    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)


def test_a_value_that_is_put_again_takes_no_more_room():
    recent = Recent[str, int](2)
    for value in range(3):
        recent.put("a", value)
    recent.put("b", 7)

    assert len(recent) == 2
    assert recent.get("a") == 2


def test_what_is_forgotten_is_gone_and_need_not_have_been_there():
    recent = Recent[str, int](2)
    recent.put("a", 1)
    recent.forget("a")
    recent.forget("b")

    assert recent.get("a") is None

"""The index of who names what agrees with a look at every portfolio, whatever happened before."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from folio_api.meta import Key
from folio_operator.cluster import MODEL, POLICY, PORTFOLIO
from folio_operator.naming import named_by
from folio_operator.store import Store

NAMES = st.sampled_from("abc")
ENTRIES = st.one_of(
    st.builds(lambda name: {"name": name}, NAMES),
    st.builds(lambda name, model: {"name": name, "modelRef": {"name": model}}, NAMES, NAMES),
    st.sampled_from([{}, {"name": 1}, {"modelRef": None}, "x", None]),
)
SPECS = st.one_of(
    st.builds(
        lambda policy, models: {"policyRef": {"name": policy}, "models": models}, NAMES, st.lists(ENTRIES)
    ),
    st.sampled_from([{}, None, {"models": "x"}, {"policyRef": [], "models": {}}]),
)
EVENTS = st.tuples(
    st.sampled_from(["put", "drop"]), NAMES, st.sampled_from("12"), st.integers(1, 9), st.just("ns"), SPECS
)


def portfolio(name: str, uid: str, version: int, namespace: str, spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": str(version)}
    return {"kind": "ModelPortfolio", "metadata": metadata, "spec": spec}


@given(st.lists(EVENTS))
def test_the_index_equals_a_scan_after_any_events(events: list[tuple[Any, ...]]):
    store = Store()
    for verb, *about in events:
        getattr(store, verb)(portfolio(*about))

    for kind in (POLICY, MODEL):
        for name in "abc":
            subject = (kind, Key("ns", name))
            scanned = [each for each in store.every(PORTFOLIO) if subject in named_by(each)]
            found = list(store.namers(*subject))
            assert sorted(map(str, found)) == sorted(map(str, scanned))


def test_a_model_is_named_by_its_reference_and_else_by_its_own_name():
    entries = [{"name": "small", "modelRef": {"name": "llama-8b"}}, {"name": "triage"}, {"name": "triage"}]
    spec = {"policyRef": {"name": "default"}, "models": entries}
    assert named_by(portfolio("desk", "1", 1, "bank", spec)) == (
        (POLICY, Key("bank", "default")),
        (MODEL, Key("bank", "llama-8b")),
        (MODEL, Key("bank", "triage")),
    )


def test_names_of_another_namespace_are_other_objects():
    store = Store()
    store.put(portfolio("desk", "1", 1, "bank", {"policyRef": {"name": "a"}}))
    assert list(store.namers(POLICY, Key("shop", "a"))) == []

"""Resources from files: what is taken, what is left to others, and that nothing a file holds can raise."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folio_api.load import Text, load
from folio_api.meta import Key
from folio_api.model import SpecialistModel
from folio_api.parse import parse

MODEL = """apiVersion: folio.dev/v1alpha1
kind: SpecialistModel
metadata: {name: desk}
spec: {encoder: {type: NGram}}
"""


def _load(text):
    return load([Text("a.yaml", text)])


def _errors(text):
    return [str(error) for error in _load(text).errors]


def test_objects_are_found_by_namespace_and_name():
    found = _load(MODEL + "---\n" + MODEL.replace("name: desk", "name: desk, namespace: team"))
    assert set(found.models) == {Key("default", "desk"), Key("team", "desk")}
    assert found.errors == ()


def test_values_are_parsed_once_and_defaults_are_known_here():
    found = _load("""
apiVersion: folio.dev/v1alpha1
kind: RoutingPolicy
metadata: {name: default}
spec:
  defaultLadder: [{model: desk, accept: {signal: Score, atLeast: "0.62"}, timeout: 1m30s}, {model: big}]
""")
    spec = found.policies[Key("default", "default")].spec
    assert spec.default_ladder[0].accept.at_least == Decimal("0.62")
    assert spec.default_ladder[0].timeout_seconds == 90.0
    assert spec.limits.deadline_seconds == 60.0
    assert spec.on_exhausted == "ReturnBest"
    assert spec.classifier.type == "NGram"


def test_a_status_is_left_out_as_an_api_server_does():
    assert _errors(MODEL + "status: {conditions: [Ready]}\n") == []


def test_secrets_and_config_maps_pass_through_and_secrets_do_not_show():
    found = _load("""
apiVersion: v1
kind: Secret
metadata: {name: frontier}
data: {token: c2VjcmV0}
stringData: {plain: written}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: questions, namespace: team}
data: {q.jsonl: "{}"}
""")
    secret = found.secrets[Key("default", "frontier")]
    assert secret.values == {"token": b"secret", "plain": b"written"}
    assert "secret'" not in repr(secret)
    assert found.config_maps[Key("team", "questions")].values == {"q.jsonl": "{}"}


def test_objects_of_others_are_named_and_left_alone():
    claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: models}\nspec: {anything: 1}\n"
    found = _load(claim + "---\n" + MODEL)
    assert found.ignored == ("PersistentVolumeClaim/models",)
    assert found.errors == ()


def test_a_folder_stands_for_its_yaml_files(tmp_path):
    (tmp_path / "b.yaml").write_text(MODEL)
    (tmp_path / "a.yml").write_text(MODEL.replace("desk", "triage"))
    (tmp_path / "notes.txt").write_text("not: [yaml")
    assert [key.name for key in load([tmp_path]).models] == ["triage", "desk"]


def test_a_file_that_cannot_be_read_is_an_error_among_the_others(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").mkdir()
    (tmp_path / "huge.yaml").write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    names = ("absent.yaml", "binary.yaml", "empty", "huge.yaml")
    errors = load([tmp_path / name for name in names]).errors
    assert [str(error).removeprefix(f"{tmp_path}/") for error in errors] == [
        "absent.yaml: cannot be read: No such file or directory",
        "binary.yaml: is not UTF-8 text",
        "empty: no *.yaml in this folder: name a file",
        "huge.yaml: is larger than 4 MiB: resources are small, name another file",
    ]


def test_anchors_and_merges_work_as_in_kubectl():
    found = _load("""
apiVersion: folio.dev/v1alpha1
kind: ModelPortfolio
metadata: {name: acme}
spec:
  policyRef: {name: default}
  models:
  - &desk {name: desk, startupTimeout: 5m}
  - {<<: *desk, name: triage}
""")
    models = found.portfolios[Key("default", "acme")].spec.models
    assert [(model.name, model.startup_timeout_seconds) for model in models] == [
        ("desk", 300),
        ("triage", 300),
    ]


def test_a_bomb_of_aliases_is_refused_before_it_grows():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (error,) = _errors("\n".join(lines))
    assert error.endswith("is not YAML: too large or too deep")


def test_brackets_by_the_thousand_are_refused():
    (error,) = _errors("[" * 5000)
    assert error.endswith("is not YAML: too large or too deep")


def test_a_document_that_holds_itself_is_refused():
    (error,) = _errors("a: &a {b: *a}")
    assert error.endswith("is not YAML: too large or too deep")


def test_a_resource_written_back_loads_as_itself():
    model = _load(MODEL).models[Key("default", "desk")]
    written = json.dumps(model.model_dump(mode="json", exclude_unset=True))
    assert _load(written).models == {model.key: model}


def test_an_object_of_the_cluster_keeps_its_status():
    status = {"observedGeneration": 3, "conditions": []}
    metadata = {"name": "desk", "uid": "1", "generation": 3, "managedFields": [{"manager": "kubectl"}]}
    spec = {"encoder": {"type": "NGram"}}
    kind = {"apiVersion": "folio.dev/v1alpha1", "kind": "SpecialistModel"}
    parsed = parse({**kind, "metadata": metadata, "spec": spec, "status": status})
    assert isinstance(parsed.resource, SpecialistModel)
    assert parsed.resource.status.observed_generation == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "vllm",
        "source",
        "uri",
        "engineArgs",
        "models",
        "pools",
        "defaultLadder",
        "accept",
        "limits",
        "name",
        "type",
    ]
)
SPECS = st.recursive(
    JSON, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=4), max_leaves=8
)


@pytest.mark.parametrize(
    "kind",
    ["SpecialistModel", "RoutingPolicy", "ModelPortfolio", "PortfolioEvaluation", "Secret", "ConfigMap"],
)
@settings(max_examples=40)
@given(spec=SPECS, metadata=JSON | st.just({"name": "a"}))
def test_nothing_that_an_object_holds_raises(kind, spec, metadata):
    version = "v1" if kind in ("Secret", "ConfigMap") else "folio.dev/v1alpha1"
    document = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec, "data": spec}
    _load(json.dumps(document))


@given(text=st.text(max_size=60) | st.text(alphabet="-:[]{}&*!|>%@ \n\ta\"'#", max_size=40))
def test_nothing_that_a_file_holds_raises(text):
    _load(text)

"""Files and the environment become one portfolio, its Secrets and its volumes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.operator.desk import FILE, FRONTIER, GENERAL, POLICY, PORTFOLIO, edited

from folio_api.load import load
from folio_cli import inputs
from folio_cli.exits import UsageProblem
from folio_cli.local import materials
from folio_cli.local.state import StateDir
from folio_operator.copies import Copy

SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: frontier, namespace: bank}
stringData: {token: from-the-file, other: x}
"""


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.yaml"
    path.write_text(SECRET)
    return path


def test_a_secret_document_gives_its_keys(secret: Path):
    given = inputs.read([FILE, secret], environ={})

    assert inputs.known_keys(given) == {"frontier": frozenset({"token"})}
    assert inputs.values(given, Copy("gateway", "frontier", "token")) == {"token": b"from-the-file"}
    assert inputs.checked(given).secrets == {"frontier": frozenset({"token"})}


def test_the_environment_wins_over_the_file(secret: Path):
    given = inputs.read([FILE, secret], environ={"FOLIO_SECRET_FRONTIER_TOKEN": "from-the-shell"})

    assert inputs.values(given, Copy("gateway", "frontier", "token")) == {"token": b"from-the-shell"}


def test_a_whole_secret_is_taken_key_by_key(secret: Path):
    given = inputs.read([FILE, secret], environ={"FOLIO_SECRET_FRONTIER_HF_TOKEN": "hub"})

    assert inputs.values(given, Copy("models", "frontier", None)) == {
        "token": b"from-the-file",
        "other": b"x",
        "HF_TOKEN": b"hub",
    }


def test_a_secret_of_another_namespace_is_no_secret_of_ours(secret: Path):
    secret.write_text(SECRET.replace("bank", "other"))

    with pytest.raises(UsageProblem) as caught:
        inputs.checked(inputs.read([FILE, secret], environ={}))
    assert "FOLIO_SECRET_<NAME>_<KEY>" in caught.value.lines[-1]


def test_what_is_placed_is_readable_by_its_owner_alone(secret: Path, tmp_path: Path):
    given = inputs.read([FILE, secret], environ={})
    state = StateDir(tmp_path / "state")

    materials.place(state, given, inputs.checked(given), {"models": tmp_path})

    assert (state.secrets / "frontier.token").read_text() == "from-the-file"
    assert len(state.internal_token.read_text()) == 64
    assert {path.stat().st_mode & 0o777 for path in state.secrets.iterdir()} == {0o600}
    assert state.secrets.stat().st_mode & 0o777 == 0o700
    assert (state.volumes / "models").resolve() == tmp_path.resolve()


def test_tokens_outlive_an_edit_and_volumes_follow_it(secret: Path, tmp_path: Path):
    given = inputs.read([FILE, secret], environ={})
    state, other = StateDir(tmp_path / "state"), tmp_path / "other"
    other.mkdir()
    materials.place(state, given, inputs.checked(given), {"models": tmp_path})
    token = state.internal_token.read_text()

    materials.place(state, given, inputs.checked(given), {"models": other})

    assert state.internal_token.read_text() == token
    assert materials.held_volumes(state) == {"models": other.resolve()}


def test_sources_that_are_not_there_are_named(tmp_path: Path):
    (tmp_path / "llama-8b").mkdir()
    portfolio = inputs.read([FILE], environ={}).portfolio

    missing = materials.missing_files(portfolio, {"models": tmp_path})

    assert f"SpecialistModel/triage spec.encoder.source.uri: {tmp_path / 'triage'} does not exist" in missing
    assert not any("llama-8b" in line for line in missing)


def test_two_portfolios_in_the_files_want_a_name(tmp_path: Path):
    other = tmp_path / "other.yaml"
    other.write_text(FILE.read_text().split("---")[-1].replace("name: desk", "name: second"))

    with pytest.raises(UsageProblem) as caught:
        inputs.read([FILE, other])
    assert caught.value.lines == ("add --portfolio with one of desk, second",)
    assert inputs.read([FILE, other], "second").name == "second"


def test_files_without_a_portfolio_say_so(secret: Path):
    with pytest.raises(UsageProblem, match="hold no ModelPortfolio"):
        inputs.read([secret])


def test_a_ca_bundle_comes_from_a_config_map(tmp_path: Path):
    bundle = tmp_path / "ca.yaml"
    bundle.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca, namespace: bank}\ndata: {ca.crt: PEM}\n"
    )
    text = FILE.read_text().replace(
        "region: us", "region: us\n    caBundle: {configMapKeyRef: {name: ca, key: ca.crt}}"
    )
    written = tmp_path / "desk.yaml"
    written.write_text(text)
    environ = {"FOLIO_SECRET_FRONTIER_TOKEN": "t"}
    state = StateDir(tmp_path / "state")

    given = inputs.read([written, bundle], environ=environ)
    materials.place(state, given, inputs.checked(given), {})
    assert (state.secrets / "ca.ca.crt").read_text() == "PEM"

    without = inputs.read([written], environ=environ)
    with pytest.raises(UsageProblem, match="no ConfigMap ca"):
        materials.place(state, without, inputs.checked(without), {})


def test_the_example_file_of_these_tests_is_itself_without_errors():
    assert load([FILE]).errors == ()


GUARDED = {PORTFOLIO: {"gateway.auth": {"apiKeys": {"secretRef": {"name": "front"}}}}}
TENANTS = """
---
apiVersion: v1
kind: Secret
metadata: {name: front, namespace: bank}
stringData: {blue: blue-key-0123456789abcdef}
"""


@pytest.fixture
def guarded(tmp_path: Path, secret: Path) -> list[Path]:
    path = tmp_path / "guarded.yaml"
    path.write_text(edited(GUARDED) + TENANTS)
    return [path, secret]


def test_tenants_come_from_the_files_and_from_the_environment(guarded: list[Path], tmp_path: Path):
    given = inputs.read(guarded, environ={"FOLIO_SECRET_FRONT_RED": "red-key-0123456789abcdef"})
    state = StateDir(tmp_path / "state")
    materials.place(state, given, inputs.checked(given), {})

    assert (state.secrets / "_tenant.blue").read_text() == "blue-key-0123456789abcdef"
    assert (state.secrets / "_tenant.RED").read_text() == "red-key-0123456789abcdef"


def test_the_variable_of_a_secret_with_a_longer_name_is_no_tenant_s_key(guarded: list[Path]):
    provider = {FRONTIER: {"external.apiKey": {"secretKeyRef": {"name": "front-er", "key": "token"}}}}
    guarded[0].write_text(edited({**GUARDED, **provider}) + TENANTS)
    environ = {"FOLIO_SECRET_FRONT_ER_TOKEN": "the-key-of-a-provider"}

    keys = inputs.checked(inputs.read(guarded[:1], environ=environ)).tenant_keys

    assert [key.tenant for key in keys or ()] == ["blue"]


def test_a_tenant_that_left_has_no_file_any_more(guarded: list[Path], tmp_path: Path):
    state = StateDir(tmp_path / "state")
    for text in (guarded[0].read_text(), guarded[0].read_text().replace("{blue:", "{green:")):
        guarded[0].write_text(text)
        given = inputs.read(guarded, environ={})
        materials.place(state, given, inputs.checked(given), {})

    names = {path.name for path in state.secrets.iterdir()}
    assert names == {"internal-token", "frontier.token", "_tenant.green"}


def test_a_bad_key_is_an_error_that_shows_no_key(guarded: list[Path]):
    with pytest.raises(UsageProblem) as caught:
        inputs.checked(inputs.read(guarded, environ={"FOLIO_SECRET_FRONT_RED": "short-secret"}))

    (line,) = caught.value.lines
    assert "tenant RED: a key has fewer than 16 characters" in line
    assert "short-secret" not in line


def test_this_machine_allows_everything_that_its_environment_does_not_speak_of(tmp_path: Path):
    path = tmp_path / "desk.yaml"
    path.write_text(edited({GENERAL: {"vllm.engineArgs": {"trust_remote_code": True}}}))
    strict = {"FOLIO_ALLOW_REMOTE_CODE": "false", "FOLIO_ALLOWED_HOSTS": ""}

    inputs.checked(inputs.read([path], environ={}), with_secrets=False)
    with pytest.raises(UsageProblem) as caught:
        inputs.checked(inputs.read([path], environ=strict), with_secrets=False)
    assert [line.rpartition(" ")[2] for line in caught.value.lines] == [
        "(RemoteCodeNotAllowed)",
        "(HostNotAllowed)",
    ]
    with pytest.raises(UsageProblem, match="FOLIO_ALLOWED_HOSTS"):
        inputs.checked(inputs.read([path], environ={"FOLIO_ALLOWED_HOSTS": "http://x"}), with_secrets=False)


def test_a_file_of_the_machine_is_for_the_machine_and_no_cluster(tmp_path: Path):
    path = tmp_path / "desk.yaml"
    path.write_text(edited({POLICY: {"artifact": {"uri": "file:///etc/passwd", "sha256": "a" * 64}}}))
    given = inputs.read([path], environ={})

    inputs.checked(given, with_secrets=False)
    with pytest.raises(UsageProblem) as caught:
        inputs.checked(given, with_secrets=False, for_cluster=True)
    assert "volume://NAME/PATH (FileNotAllowed)" in caught.value.lines[0]

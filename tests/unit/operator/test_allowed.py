"""What the installation does not allow is refused by name; hosts are compared so that no spelling slips through."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests.unit.operator.desk import CONTRACTS, FRONTIER, GENERAL, POLICY, PORTFOLIO, Edits, desk
from tests.unit.operator.shell import DESK, Shell

from folio_api.urls import SOURCE_URI
from folio_operator import allowed, checks
from folio_operator.allowed import EVERYTHING, Allowed, AllowedError
from folio_operator.checks.allowance import FILE_SCHEME, REMOTE_SCHEME
from folio_operator.checks.supported import REMOTE_SCHEMES
from folio_operator.settings import SettingsError, from_environment

ARGUMENTS = "vllm.engineArgs"
HUB = {"uri": "hf://owner/name", "revision": "a" * 40}
JWT = {"issuer": "https://id.acme.dev", "audiences": ["folio"], "jwksURI": "https://id.acme.dev/jwks"}
FILE = {"artifact": {"uri": "file:///etc/passwd", "sha256": "a" * 64}}
STRICT = Allowed(hosts=())


def found(edits: Edits, what: Allowed) -> list[tuple[str, str]]:
    """Return reason and field of all that is refused."""
    failures = checks.failures(replace(desk(edits), allowed=what))
    return [(failure.reason, failure.where) for failure in failures]


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("trust_remote_code", {"trust_remote_code": True}),
        ("trust_remote_code", {"trust_remote_code": "false"}),
        ("worker_cls", {"worker_cls": "somebody.Worker"}),
        ("logits_processors", {"logits_processors": ["somebody:Processor"]}),
        ("distributed_executor_backend", {"distributed_executor_backend": "somebody.Executor"}),
        ("reasoning_parser_plugin", {"reasoning_parser_plugin": "/volumes/models/parser.py"}),
        ("kv_transfer_config", {"kv_transfer_config": {"kv_connector_module_path": "somebody"}}),
        ("compilation_config.backend", {"compilation_config": {"backend": "somebody.compile"}}),
        ("speculative_config.method", {"speculative_config": {"method": "custom_class", "model": "a.B"}}),
        ("speculative_config.trust_remote_code", {"speculative_config": {"trust-remote-code": True}}),
        ("master_addr", {"master_addr": "10.0.0.1"}),
    ],
)
def test_an_argument_that_runs_code_is_refused_by_name_unless_the_installation_allows_it(field, arguments):
    edits = {GENERAL: {ARGUMENTS: arguments}}

    assert found(edits, Allowed()) == [("RemoteCodeNotAllowed", f"{GENERAL} spec.{ARGUMENTS}.{field}")]
    assert found(edits, Allowed(remote_code=True)) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"trust_remote_code": False},
        {"distributed_executor_backend": "ray", "worker_cls": "auto"},
        {"compilation_config": {"level": 0, "backend": "inductor"}},
        {"speculative_config": {"method": "ngram", "num_speculative_tokens": 3}},
        {"logits_processors": []},
    ],
)
def test_an_argument_that_runs_nobodys_code_is_left_alone(arguments):
    assert found({GENERAL: {ARGUMENTS: arguments}}, STRICT_HUB) == []


STRICT_HUB = Allowed(hosts=("huggingface.co", "api.example.com"))


@pytest.mark.parametrize(
    ("where", "edits"),
    [
        (f"{FRONTIER} spec.external.baseURL", {FRONTIER: {"external.baseURL": "https://other.example.com/v1"}}),
        (f"{GENERAL} spec.vllm.source.uri", {GENERAL: {"vllm.source": HUB}}),
        (f"{CONTRACTS} spec.adapter.source.uri", {CONTRACTS: {"adapter.source": HUB}}),
        (f"{GENERAL} spec.{ARGUMENTS}.tokenizer", {GENERAL: {ARGUMENTS: {"tokenizer": "owner/name"}}}),
        (f"{GENERAL} spec.{ARGUMENTS}.speculative_config.model", {GENERAL: {ARGUMENTS: {"speculative_config": {"model": "owner/name"}}}}),
        (f"{GENERAL} spec.{ARGUMENTS}.speculative_config.draft_load_config", {GENERAL: {ARGUMENTS: {"speculative_config": {"draft-load-config": {"load_format": "tensorizer"}}}}}),
        (f"{GENERAL} spec.{ARGUMENTS}.otlp_traces_endpoint", {GENERAL: {ARGUMENTS: {"otlp_traces_endpoint": "http://169.254.169.254/"}}}),
        (f"{GENERAL} spec.{ARGUMENTS}.lora_modules", {GENERAL: {ARGUMENTS: {"lora_modules": ["x=owner/name"]}}}),
        (f"{PORTFOLIO} spec.gateway.auth.jwt.jwksURI", {PORTFOLIO: {"gateway.auth": {"jwt": JWT}}}),
    ],
)  # fmt: skip
def test_a_host_is_refused_where_it_is_named_unless_it_is_listed(where, edits):
    provider = urlhost(desk().specialists["frontier"].spec.external.base_url)
    listed = Allowed(hosts=(provider,))

    assert found(edits, listed) == [("HostNotAllowed", where)]
    assert found(edits, Allowed(hosts=("*",))) == []


def urlhost(url: str) -> str:
    host = allowed.host_of(url)
    assert host is not None
    return host


def test_no_host_at_all_leaves_what_lies_on_volumes():
    assert {reason for reason, _ in found({}, STRICT)} == {"HostNotAllowed"}
    assert [where for _, where in found({}, STRICT)] == [f"{FRONTIER} spec.external.baseURL"]
    assert found({GENERAL: {ARGUMENTS: {"tokenizer": "/volumes/models/tokenizer"}}}, STRICT_ONE) == []


STRICT_ONE = Allowed(hosts=(urlhost(desk().specialists["frontier"].spec.external.base_url),))


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.example.com/v1", "api.example.com"),
        ("https://API.Example.com:8443/v1", "api.example.com"),
        ("https://api.example.com./v1", "api.example.com"),
        ("http://10.0.0.1:8000/v1", "10.0.0.1"),
        ("http://[FD00:0::1]:8000/v1", "fd00::1"),
        ("https://api.example.com@evil.example/v1", None),
        ("https://evil.example\\@api.example.com/v1", None),
        ("https://evil.example%2f.api.example.com/v1", None),
        ("https://\uff41pi.example.com/v1", None),
        ("https:///v1", None),
        ("http://[::1/v1", None),
    ],
)
def test_the_host_of_a_url_is_read_or_refused_where_readers_may_differ(url, host):
    assert allowed.host_of(url) == host


@pytest.mark.parametrize(
    ("patterns", "url", "is_allowed"),
    [
        ("api.example.com", "https://api.example.com/v1", True),
        ("api.example.com", "https://api.example.com.evil.dev/v1", False),
        ("*.example.com", "https://a.b.example.com/v1", True),
        ("*.example.com", "https://example.com/v1", False),
        ("*.example.com", "https://evilexample.com/v1", False),
        ("FD00:0:0::1", "http://[fd00::1]/v1", True),
        ("10.0.0.1", "http://167772161/v1", False),
        ("*", "https://user@anything/v1", True),
        ("", "https://api.example.com/v1", False),
    ],
)
def test_a_pattern_is_a_name_all_below_a_name_or_everything(patterns, url, is_allowed):
    assert allowed.read({"FOLIO_ALLOWED_HOSTS": patterns}, EVERYTHING).allows_url(url) is is_allowed


def test_a_policys_file_is_one_of_the_machine_or_of_a_volume():
    assert found({POLICY: FILE}, EVERYTHING) == []
    assert found({POLICY: FILE}, Allowed()) == [("FileNotAllowed", f"{POLICY} spec.artifact.uri")]


def test_every_scheme_of_a_source_is_local_compared_or_not_built():
    """A scheme that comes to be read must be compared with the hosts too."""
    written = SOURCE_URI.pattern.replace("(s3|gs)://", "s3://|gs://")
    schemes = {f"{name}://" for name in re.findall(r"([a-z0-9]+)://", written)}
    assert schemes == {REMOTE_SCHEME, *REMOTE_SCHEMES, FILE_SCHEME, "volume://"}


def test_the_operator_allows_no_code_and_every_host_unless_told():
    assert from_environment({}).allowed == Allowed(remote_code=False, hosts=("*",), machine_files=False)
    told = {"FOLIO_ALLOW_REMOTE_CODE": "true", "FOLIO_ALLOWED_HOSTS": "huggingface.co, *.Example.com"}
    assert from_environment(told).allowed == Allowed(
        remote_code=True, hosts=("huggingface.co", "*.example.com")
    )
    assert from_environment({"FOLIO_ALLOWED_HOSTS": ""}).allowed.hosts == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"FOLIO_ALLOW_REMOTE_CODE": "perhaps"},
        {"FOLIO_ALLOWED_HOSTS": "https://api.example.com"},
        {"FOLIO_ALLOWED_HOSTS": "a.*.example.com"},
        {"FOLIO_ALLOWED_HOSTS": "api.example.com/v1"},
        {"FOLIO_ALLOWED_HOSTS": "cafe:8443"},
        {"FOLIO_ALLOWED_HOSTS": ":"},
    ],
)
def test_a_setting_that_cannot_be_read_is_named(wrong):
    (name,) = wrong
    with pytest.raises(SettingsError, match=name):
        from_environment(wrong)
    with pytest.raises(AllowedError, match=name):
        allowed.read(wrong, EVERYTHING)


async def test_a_refused_model_stalls_the_portfolio_and_the_last_good_revision_stays():
    shell = Shell().with_key()
    await shell.settle()
    before = shell.serve_config()
    shell.write({GENERAL: {ARGUMENTS: {"trust_remote_code": True}}})
    after = await shell.pass_over(DESK)

    assert shell.condition("Accepted") == ("False", "RemoteCodeNotAllowed")
    assert shell.condition("Stalled") == ("True", "RemoteCodeNotAllowed")
    assert "policy.allowRemoteCode" in shell.message("Accepted")
    assert shell.serve_config() == before
    assert after is None or after >= 30, "what only people can mend is not tried again and again"

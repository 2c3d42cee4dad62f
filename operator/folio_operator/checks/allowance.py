"""Nothing runs code of its own, or reaches a host, that the installation does not allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from folio_operator.allowed import HUB_HOST
from folio_operator.checks.places import in_model, in_policy, in_portfolio
from folio_operator.checks.supported import source_uris
from folio_operator.failure import Failure
from folio_operator.world import Member, Portfolio

CODE = frozenset(
    {
        "trust_remote_code",
        # Python that vLLM imports by a name or a path in the argument
        "worker_cls",
        "worker_extension_cls",
        "scheduler_cls",
        "distributed_executor_backend",
        "model_class_overrides",
        "logits_processors",
        "middleware",
        "tool_parser_plugin",
        "reasoning_parser_plugin",
        "io_processor_plugin",
        "log_config_file",
        "logging_config",
        "kv_transfer_config",
        "ec_transfer_config",
        "ec_manager_config",
        "weight_transfer_config",
        "additional_config",
        "compilation_config.backend",
        "compilation_config.cache_dir",
        "compilation_config.inductor_compile_config",
        "compilation_config.inductor_passes",
        "compilation_config.local_cache_dir",
        "structured_outputs_config.reasoning_parser_plugin",
        "speculative_config.trust_remote_code",
        # other processes, whose pickles the engine loads
        "master_addr",
        "data_parallel_address",
        # a tool of vLLM's that runs what the model writes
        "tool_server",
    }
)
"""Arguments of vLLM by which somebody's code comes to run; below a dot a member of the argument."""
HARMLESS = {
    "worker_cls": ("auto",),
    "distributed_executor_backend": ("ray", "mp", "uni", "external_launcher"),
    "compilation_config.backend": ("eager", "inductor"),
    "data_parallel_address": ("127.0.0.1", "localhost"),
    "master_addr": ("127.0.0.1", "localhost"),
}
"""Values of them that are vLLM's own."""
PROPOSERS = ("speculative_config.method", "spec_method")
"""With the value custom_class the model of the speculation is the name of a Python class."""
FETCHED = frozenset(
    {
        "tokenizer",
        "hf_config_path",
        "model_weights",
        "generation_config",
        "spec_model",
        "speculative_config.model",
        "speculative_config.tokenizer",
        "otlp_traces_endpoint",
    }
)
"""Arguments whose value is a path, a URL, or a name at the hub."""
NOT_FETCHED = {"generation_config": ("auto", "vllm")}
REACHING = frozenset(
    {
        "allowed_media_domains",
        "default_mm_loras",
        "kv_events_config",
        "lora_modules",
        "model_loader_extra_config",
        "speculative_config.draft_load_config",
    }
)
"""Arguments with addresses inside that nobody can tell apart; they are for those who may reach every host."""
REMOTE_SCHEME = "hf://"
FILE_SCHEME = "file://"


def remote_code_is_allowed(portfolio: Portfolio) -> Iterator[Failure]:
    """A model's own code, or somebody's, runs only where the installation lets it."""
    if portfolio.allowed.remote_code:
        return
    for member in portfolio.members:
        for name, value in arguments(member):
            if _runs_code(name, value):
                message = (
                    "it lets code run that is not vLLM's: remove it, or let the installation allow it"
                    " (policy.allowRemoteCode of the chart)"
                )
                yield Failure("RemoteCodeNotAllowed", in_model(member, f"vllm.engineArgs.{name}"), message)


def hosts_are_allowed(portfolio: Portfolio) -> Iterator[Failure]:
    """A provider, the hub and an identity provider are asked only where their hosts are allowed."""
    allowed = portfolio.allowed
    if allowed.every_host:
        return
    for where, place in _reached(portfolio):
        if not (allowed.allows_url(place) if "://" in place else allowed.allows(place)):
            message = (
                f"{place} may not be reached, allowed is {', '.join(allowed.hosts) or 'no host'}: name"
                " another, or let the installation allow it (policy.allowedHosts of the chart)"
            )
            yield Failure("HostNotAllowed", where, message)
    for member in portfolio.members:
        for name, value in arguments(member):
            if name in REACHING and value:
                message = (
                    "what it reaches cannot be compared with policy.allowedHosts of the chart: remove it, or"
                    ' let the installation allow "*"'
                )
                yield Failure("HostNotAllowed", in_model(member, f"vllm.engineArgs.{name}"), message)


def files_are_of_a_volume(portfolio: Portfolio) -> Iterator[Failure]:
    """Whoever tunes a policy has no business among the files of the gateway's pod."""
    artifact = portfolio.policy.spec.artifact if portfolio.policy else None
    if artifact and artifact.uri.startswith(FILE_SCHEME) and not portfolio.allowed.machine_files:
        message = (
            f"{artifact.uri} would be a file of the gateway's own pod: put it on a volume of gateway.volumes,"
            " and write volume://NAME/PATH"
        )
        yield Failure("FileNotAllowed", in_policy(portfolio, "artifact.uri"), message)


def arguments(member: Member) -> Iterator[tuple[str, Any]]:
    """Every engine argument with its value, and every member of one, as `argument.member`."""
    vllm = member.model.spec.vllm
    for name, value in (vllm.engine_args if vllm else {}).items():
        yield name, value
        if isinstance(value, Mapping):
            # vLLM reads trust-remote-code inside of an argument as trust_remote_code
            yield from ((f"{name}.{str(inner).replace('-', '_')}", each) for inner, each in value.items())


def _runs_code(name: str, value: Any) -> bool:
    if name in PROPOSERS:
        return bool(value == "custom_class")
    return name in CODE and bool(value) and value not in HARMLESS.get(name, ())


def _reached(portfolio: Portfolio) -> Iterator[tuple[str, str]]:
    """Every place that somebody fetches from: a URL or a host, with the field that names it."""
    auth = portfolio.resource.spec.gateway.auth
    if auth and auth.jwt:
        yield in_portfolio(portfolio, "gateway.auth.jwt.jwksURI"), auth.jwt.jwks_uri
    for member in portfolio.members:
        spec = member.model.spec
        if spec.external:
            yield in_model(member, "external.baseURL"), spec.external.base_url
        for field, uri in source_uris(spec):
            if uri.startswith(REMOTE_SCHEME):
                yield in_model(member, field), HUB_HOST
        for name, value in arguments(member):
            place = _place(name, value)
            if place:
                yield in_model(member, f"vllm.engineArgs.{name}"), place


def _place(name: str, value: Any) -> str | None:
    """Return where an argument's value is fetched from: nowhere for a path."""
    if name not in FETCHED or not value or value in NOT_FETCHED.get(name, ()):
        return None
    text = str(value)
    if text.startswith("/"):
        return None
    return text if "://" in text else HUB_HOST

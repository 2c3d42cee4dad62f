"""What one object names must exist in another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from folio_api.meta import SecretValue
from folio_api.model import SpecialistModelSpec
from folio_operator import effective
from folio_operator.checks.places import in_entry, in_model, in_policy, in_portfolio
from folio_operator.failure import Failure
from folio_operator.world import Member, Portfolio


def policy_exists(portfolio: Portfolio) -> Iterator[Failure]:
    """A portfolio without its policy has no ladder."""
    if portfolio.policy is None:
        name = portfolio.resource.spec.policy_ref.name
        where = in_portfolio(portfolio, "policyRef")
        yield Failure(
            "PolicyNotFound",
            where,
            f"there is no RoutingPolicy {name} in namespace {portfolio.key.namespace}: apply it, or"
            " correct the name",
        )


def models_exist(portfolio: Portfolio) -> Iterator[Failure]:
    """Every entry names a SpecialistModel, by modelRef or by its own name."""
    for entry in portfolio.resource.spec.models:
        if entry.specialist not in portfolio.specialists:
            field = "modelRef" if entry.model_ref else "name"
            message = (
                f"there is no SpecialistModel {entry.specialist} in namespace {portfolio.key.namespace}:"
                f" apply it, or correct the name{_known(portfolio.specialists)}"
            )
            yield Failure("ModelNotFound", in_entry(portfolio, entry, field), message)


def rungs_are_models(portfolio: Portfolio) -> Iterator[Failure]:
    """Ladders, agreement and the classifier name entries of the portfolio's models."""
    served = {entry.name for entry in portfolio.resource.spec.models}
    for where, name in _named_models(portfolio):
        if name not in served:
            message = (
                f"the portfolio {portfolio.key.name} has no model {name}: add it to"
                f" spec.models{_known(served)}"
            )
            yield Failure("UnknownRung", in_policy(portfolio, where), message)


def _named_models(portfolio: Portfolio) -> Iterator[tuple[str, str]]:
    for ladder in portfolio.ladders:
        for index, rung in enumerate(ladder.rungs):
            yield f"{ladder.path}[{index}].model", rung.model
            for name in (rung.accept and rung.accept.models) or ():
                yield f"{ladder.path}[{index}].accept.models", name
    if portfolio.policy and portfolio.policy.spec.classifier.model:
        yield "classifier.model", portfolio.policy.spec.classifier.model


def bases_are_served(portfolio: Portfolio) -> Iterator[Failure]:
    """An adapter lives in its base's replicas, so the base is served too."""
    for member in portfolio.members:
        adapter = member.model.spec.adapter
        if adapter is None:
            continue
        base = portfolio.base(member)
        if base is None:
            message = (
                f"its base {adapter.base_ref.name} is not among the models of portfolio {portfolio.key.name}:"
                " add it to spec.models"
            )
            yield Failure("BaseNotInPortfolio", in_model(member, "adapter.baseRef"), message)
        elif base.model.spec.adapter is not None:
            message = (
                f"its base {adapter.base_ref.name} is an adapter itself:"
                " name the model below it, which vLLM serves"
            )
            yield Failure("BaseNotInPortfolio", in_model(member, "adapter.baseRef"), message)


def embedders_are_served(portfolio: Portfolio) -> Iterator[Failure]:
    """A retriever, and a MiniLM classifier, need a model that turns text into vectors."""
    for member in portfolio.members:
        retriever = member.model.spec.retriever
        if retriever is None:
            continue
        where, name = in_model(member, "retriever.embedderRef"), retriever.embedder_ref.name
        embedder = portfolio.embedder(member)
        if embedder is None:
            message = (
                f"{name} is not among the models of portfolio {portfolio.key.name}: add it to spec.models"
            )
            yield Failure("EmbedderNotFound", where, message)
        elif "Embedding" not in effective.tasks(portfolio, embedder) or embedder.engine != "encoder":
            message = f"{name} must be an encoder with the Embedding task: write tasks: [Embedding] on it"
            yield Failure("TaskMismatch", where, message)
    yield from _classifier_embedder(portfolio)


def _classifier_embedder(portfolio: Portfolio) -> Iterator[Failure]:
    policy = portfolio.policy
    if policy and policy.spec.classifier.type == "MiniLM" and effective.sentence_embedder(portfolio) is None:
        message = (
            "MiniLM needs an encoder with the Embedding task among the models of portfolio"
            f" {portfolio.key.name}:"
            " add one, or write type: NGram"
        )
        yield Failure("EmbedderNotFound", in_policy(portfolio, "classifier.type"), message)


def secrets_exist(portfolio: Portfolio) -> Iterator[Failure]:
    """Every Secret and key that the gateway or a model names exists, where anybody looked."""
    if portfolio.secrets is None:
        return
    for where, name, key in _named_secrets(portfolio):
        keys = portfolio.secrets.get(name)
        if keys is None:
            message = f"there is no Secret {name} in namespace {portfolio.key.namespace}: create it"
            yield Failure("SecretNotFound", where, message)
        elif key is not None and key not in keys:
            message = f"Secret {name} has no key {key}: add it{_known(keys)}"
            yield Failure("SecretNotFound", where, message)


def _named_secrets(portfolio: Portfolio) -> Iterator[tuple[str, str, str | None]]:
    if name := tenants_secret(portfolio):
        yield in_portfolio(portfolio, "gateway.auth.apiKeys.secretRef"), name, None
    for member in portfolio.members:
        for field, name, key in secret_references(member):
            yield in_model(member, field), name, key


def tenants_secret(portfolio: Portfolio) -> str | None:
    """Return the Secret with the tenants' keys, where the gateway asks for keys."""
    auth = portfolio.resource.spec.gateway.auth
    return auth.api_keys.secret_ref.name if auth and auth.api_keys else None


def secret_references(member: Member) -> tuple[tuple[str, str, str | None], ...]:
    """Field, Secret and key of every Secret that a model names; no key where it takes all of them."""
    return (*_whole_secrets(member.model.spec), *_single_keys(member.model.spec))


def _whole_secrets(spec: SpecialistModelSpec) -> Iterator[tuple[str, str, None]]:
    sources = (
        ("vllm.source", spec.vllm and spec.vllm.source),
        ("adapter.source", spec.adapter and spec.adapter.source),
        ("encoder.source", spec.encoder and spec.encoder.source),
        ("retriever.lancedb", spec.retriever and spec.retriever.lancedb),
    )
    for field, source in sources:
        if source and source.secret_ref:
            yield f"{field}.secretRef", source.secret_ref.name, None


def _single_keys(spec: SpecialistModelSpec) -> Iterator[tuple[str, str, str]]:
    values: tuple[tuple[str, SecretValue | None], ...] = (
        ("external.apiKey", spec.external.api_key if spec.external else None),
    )
    for field, value in values:
        if value:
            yield f"{field}.secretKeyRef", value.secret_key_ref.name, value.secret_key_ref.key


def _known(names: Iterable[str]) -> str:
    found = sorted(names)
    return f" (there is: {', '.join(found[:8])}{', ...' if len(found) > 8 else ''})" if found else ""

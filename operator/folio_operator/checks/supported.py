"""What the resources may already say and this version does not do yet: refused by name, never silently
ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from folio_api.model import SpecialistModelSpec
from folio_api.policy import Intent
from folio_api.portfolio import ModelPortfolioSpec
from folio_operator import effective
from folio_operator.checks.places import in_entry, in_model, in_policy, in_portfolio
from folio_operator.failure import Failure
from folio_operator.world import Member, Portfolio

REMOTE_SCHEMES = ("s3://", "gs://")
TASKS = ("Rerank", "Transcription")
INPUTS = ("Image", "Audio")


def portfolio_fields(portfolio: Portfolio) -> Iterator[Failure]:
    """Capture, audit, gates and redaction are not built yet."""
    spec = portfolio.resource.spec
    for field, present, fix in _portfolio_features(spec):
        if present:
            yield _not_supported(in_portfolio(portfolio, field), fix)
    for data_class in spec.data_classes:
        if data_class.when_none_cleared == "Redact":
            where = in_portfolio(portfolio, f"dataClasses[{data_class.name}].whenNoneCleared")
            yield _not_supported(
                where, "Redact is not built yet: write Refuse, and clear a model for the class"
            )


def second_applications(portfolio: Portfolio) -> Iterator[Failure]:
    """A model moves to its next version alone: in an application of its own, that no other one reads."""
    readers = {
        embedder.name: member.name
        for member in portfolio.members
        if member.engine == "retriever" and (embedder := portfolio.embedder(member))
    }
    for member in portfolio.members:
        if member.entry.update_strategy.type == "BlueGreen":
            where = in_entry(portfolio, member.entry, "updateStrategy.type")
            if not effective.has_own_application(member):
                host = "its base" if member.engine == "adapter" else "its provider"
                yield _not_supported(
                    where, f"{member.name} has no application: it is served by {host}: remove updateStrategy"
                )
            elif member.name in readers:
                yield _not_supported(
                    where,
                    f"{readers[member.name]} reads through {member.name} and would have to move with it:"
                    " write RollingUpdate with maxSurgePercent: 100",
                )


def _portfolio_features(spec: ModelPortfolioSpec) -> Iterable[tuple[str, object, str]]:
    rollout = spec.rollout
    return (
        ("capture", spec.capture, "capture is not built yet: remove it"),
        ("audit", spec.audit, "audit is not built yet: remove it; the gateway logs one line a request"),
        (
            "rollout.gates",
            rollout.gates,
            "gates are not built yet: remove them, and evaluate before you apply",
        ),
    )


def policy_fields(portfolio: Portfolio) -> Iterator[Failure]:
    """Conversions, orchestration and requests with images or audio are not built yet."""
    if portfolio.policy is None:
        return
    for intent in portfolio.policy.spec.intents:
        for field, present, fix in _intent_features(intent):
            if present:
                yield _not_supported(in_policy(portfolio, f"intents[{intent.name}].{field}"), fix)
    artifact = portfolio.policy.spec.artifact
    if artifact and not _is_readable(artifact.uri):
        yield _not_supported(in_policy(portfolio, "artifact.uri"), _source_fix(artifact.uri))


def _intent_features(intent: Intent) -> Iterable[tuple[str, object, str]]:
    unread = [each for each in intent.match_any.inputs if each in INPUTS]
    return (
        ("before", intent.before, "conversions are not built yet: remove before"),
        ("orchestrate", intent.orchestrate, "orchestration is not built yet: remove orchestrate"),
        ("matchAny.inputs", unread, f"{' and '.join(unread)} is not built yet: remove it from inputs"),
    )


def model_fields(portfolio: Portfolio) -> Iterator[Failure]:
    """Rerank, Transcription, images, audio, Postgres and object stores are not built yet."""
    for member in portfolio.members:
        spec = member.model.spec
        for task in spec.tasks or ():
            if task in TASKS:
                yield _not_supported(
                    in_model(member, "tasks"), f"{task} is not built yet: remove it from tasks"
                )
        for given in spec.inputs:
            if given in INPUTS:
                yield _not_supported(
                    in_model(member, "inputs"), f"{given} is not built yet: remove it from inputs"
                )
        yield from _sources(member)


def _sources(member: Member) -> Iterator[Failure]:
    if member.model.spec.retriever and member.model.spec.retriever.postgres:
        fix = "Postgres is not built yet: write lancedb.uri, and make the index with `folio index`"
        yield _not_supported(in_model(member, "retriever.postgres"), fix)
    for field, uri in source_uris(member.model.spec):
        if not _is_readable(uri):
            yield _not_supported(in_model(member, field), _source_fix(uri))


def source_uris(spec: SpecialistModelSpec) -> Iterator[tuple[str, str]]:
    """Every URI of a model's files, with the field it stands in."""
    engines = (("vllm", spec.vllm), ("adapter", spec.adapter), ("encoder", spec.encoder))
    for name, engine in engines:
        if engine is not None and engine.source is not None:
            yield f"{name}.source.uri", engine.source.uri
    if spec.retriever and spec.retriever.lancedb:
        yield "retriever.lancedb.uri", spec.retriever.lancedb.uri


def _is_readable(uri: str) -> bool:
    return not uri.startswith(REMOTE_SCHEMES)


def _source_fix(uri: str) -> str:
    return f"{uri[:5]} sources are not built yet: copy the files to a volume and write volume://NAME/PATH"


def _not_supported(where: str, message: str) -> Failure:
    return Failure("NotSupported", where, message)

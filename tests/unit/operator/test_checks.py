"""Each reason once by a portfolio that is wrong in one field; the portfolio itself is accepted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.unit.operator.desk import (
    CONTRACTS,
    FRONTIER,
    GENERAL,
    HANDBOOK,
    MINILM,
    POLICY,
    PORTFOLIO,
    REMOVED,
    Edits,
    desk,
)

from folio_operator import checks
from folio_operator.checks.supported import source_uris
from folio_operator.failure import REASONS
from folio_operator.identity import identity
from folio_operator.world import Certificate


@dataclass(frozen=True)
class Bad:
    reason: str
    where: str
    fix: str
    """A part of the message, that tells what to do."""
    edits: Edits


def bad(reason: str, where: str, fix: str, obj: str, path: str, value: Any) -> Bad:
    return Bad(reason, where, fix, {obj: {path: value}})


BLUE_GREEN = {"models.0.updateStrategy": {"type": "BlueGreen"}, "models.0.scaling": {"minReplicas": 2}}
STORE = {"store": {"uri": "file:///x"}}
IN_PORTFOLIO, IN_POLICY = f"{PORTFOLIO} spec.", f"{POLICY} spec."
BAD = [
    bad("NotSupported", "capture", "remove it", PORTFOLIO, "capture", {"sample": "0.1", **STORE}),
    bad("NotSupported", "audit", "remove it", PORTFOLIO, "audit", STORE),
    bad("NotSupported", "rollout.gates", "remove them", PORTFOLIO, "rollout.gates", [{"name": "regression"}]),
    bad("NotSupported", "dataClasses[pii].whenNoneCleared", "write Refuse", PORTFOLIO, "dataClasses.0.whenNoneCleared", "Redact"),
    bad("NotSupported", "models[contracts].updateStrategy.type", "served by its base", PORTFOLIO, "models.1.updateStrategy", {"type": "BlueGreen"}),
    bad("NotSupported", "models[minilm].updateStrategy.type", "handbook reads through minilm", PORTFOLIO, "models.3.updateStrategy", {"type": "BlueGreen"}),
    Bad("PoolTooSmall", "pools[l4].maxWorkers", "and a second application need 4 workers", {PORTFOLIO: {**BLUE_GREEN, "pools.0.maxWorkers": 3}}),
    Bad("GPUCeilingTooLow", "maxGPUs", "and an update 2 more: raise maxGPUs to 4", {PORTFOLIO: {**BLUE_GREEN, "maxGPUs": 3}}),
    bad("NotSupported", "intents[bank].before", "remove before", POLICY, "intents.0.before", [{"model": "handbook", "as": "Passages"}]),
    bad("NotSupported", "intents[bank].orchestrate", "remove orchestrate", POLICY, "intents.0.orchestrate", {"models": ["handbook"], "maxCalls": 2}),
    bad("NotSupported", "intents[bank].matchAny.inputs", "Image is not built yet", POLICY, "intents.0.matchAny.inputs", ["Image"]),
    bad("NotSupported", "artifact.uri", "write volume://", POLICY, "artifact", {"uri": "gs://a/b", "sha256": "a" * 64}),
    bad("NotSupported", "tasks", "Rerank is not built yet", MINILM, "tasks", ["Embedding", "Rerank"]),
    bad("NotSupported", "tasks", "Transcription is not built yet", FRONTIER, "tasks", ["Chat", "Transcription"]),
    bad("NotSupported", "inputs", "Audio is not built yet", FRONTIER, "inputs", ["Text", "Audio"]),
    bad("NotSupported", "vllm.source.uri", "s3:// sources are not built yet", GENERAL, "vllm.source.uri", "s3://models/llama"),
    bad("NotSupported", "adapter.source.uri", "gs:// sources are not built yet", CONTRACTS, "adapter.source.uri", "gs://models/x"),
    bad("NotSupported", "retriever.postgres", "folio index", HANDBOOK, "retriever", {"embedderRef": {"name": "minilm"}, "postgres": {"dsn": {"secretKeyRef": {"name": "kb", "key": "dsn"}}, "table": "p"}}),
    bad("PolicyNotFound", "policyRef", "apply it, or correct the name", PORTFOLIO, "policyRef.name", "other"),
    bad("ModelNotFound", "models[general].modelRef", "there is: contracts", PORTFOLIO, "models.0.modelRef.name", "llama-9b"),
    bad("ModelNotFound", "models[ghost].name", "apply it", PORTFOLIO, "models.6", {"name": "ghost"}),
    bad("UnknownRung", "intents[bank].ladder[2].model", "add it to spec.models", POLICY, "intents.0.ladder.2.model", "ghost"),
    bad("UnknownRung", "defaultLadder[0].accept.models", "has no model ghost", POLICY, "defaultLadder.0.accept", {"signal": "Agreement", "atLeast": "0.5", "models": ["ghost"]}),
    bad("UnknownRung", "classifier.model", "has no model ghost", POLICY, "classifier", {"type": "Model", "model": "ghost"}),
    bad("BaseNotInPortfolio", "adapter.baseRef", "add it to spec.models", CONTRACTS, "adapter.baseRef.name", "llama-70b"),
    bad("BaseNotInPortfolio", "adapter.baseRef", "is an adapter itself: name the model below it", CONTRACTS, "adapter.baseRef.name", "contracts"),
    bad("EmbedderNotFound", "retriever.embedderRef", "add it to spec.models", HANDBOOK, "retriever.embedderRef.name", "bge"),
    bad("TaskMismatch", "retriever.embedderRef", "tasks: [Embedding]", HANDBOOK, "retriever.embedderRef.name", "triage"),
    bad("PoolRequired", "models[general].pool", "write pool, or gpus: 0", PORTFOLIO, "models.0.pool", REMOVED),
    bad("VolumeNotDeclared", "vllm.source.uri", "pools[l4].volumes", GENERAL, "vllm.source.uri", "volume://weights/llama"),
    bad("VolumeNotDeclared", "adapter.source.uri", "pools[l4].volumes", CONTRACTS, "adapter.source.uri", "volume://hub/x"),
    bad("VolumeNotDeclared", "encoder.source.uri", "gateway.volumes", PORTFOLIO, "gateway.volumes", []),
    bad("VolumeNotDeclared", "artifact.uri", "gateway.volumes", POLICY, "artifact", {"uri": "volume://routers/7", "sha256": "a" * 64}),
    bad("TaskMismatch", "intents[search].ladder", "a ladder of its own", POLICY, "intents.2.ladder", [{"model": "minilm", "accept": {"signal": "Always"}}, {"model": "frontier"}]),
    bad("TaskMismatch", "classifier.model", "Classification nor Chat", POLICY, "classifier", {"type": "Model", "model": "minilm"}),
    bad("SignalUnavailable", "intents[bank].ladder[1].accept.signal", "does not declare Logprobs", GENERAL, "features", ["Tools"]),
    bad("SignalUnavailable", "intents[bank].ladder[0].accept.signal", "write Score or Always", POLICY, "intents.0.ladder.0.accept", {"signal": "MinLogprob", "atLeast": "0.5"}),
    Bad("SignalUnavailable", "intents[facts].ladder[0].accept.signal", "write Score or Always", {HANDBOOK: {"features": ["Logprobs"]}, POLICY: {"intents.1.ladder.0.accept": {"signal": "MeanLogprob", "atLeast": "0.5"}}}),
    bad("SignalUnavailable", "defaultLadder[0].accept.signal", "gives no Score", POLICY, "defaultLadder.0.accept.signal", "Score"),
    bad("SignalUnavailable", "intents[search].ladder[0].accept.signal", "write Always", POLICY, "intents.2.ladder.0.accept", {"signal": "Score", "atLeast": "0.5"}),
    bad("BaseHasNoLoRASlots", "adapter.baseRef", "maxAdapters: 8", GENERAL, "vllm.lora", REMOVED),
    bad("BaseHasNoLoRASlots", "adapter.baseRef", "raise maxRank", CONTRACTS, "adapter.rank", 64),
    bad("BaseHasNoLoRASlots", "adapter.baseRef", "has no slots", CONTRACTS, "adapter.baseRef.name", "triage"),
    bad("PriceMissing", "limits.maxCostPerQuery", "pricePerHour on pool l4", PORTFOLIO, "pools.0.pricePerHour", REMOVED),
    bad("PoolTooSmall", "models[general].pool", "wants 2 GPU, a worker of pool l4 has 1", GENERAL, "vllm.gpus", 2),
    bad("PoolTooSmall", "models[general].pool", "wants 64Gi memory", GENERAL, "vllm.resources.memory", "64Gi"),
    bad("PoolTooSmall", "models[general].pool", "wants 9 cpu", GENERAL, "vllm.resources.cpu", "9"),
    Bad("PoolTooSmall", "pools[l4].maxWorkers", "raise maxWorkers to 5", {PORTFOLIO: {"pools.0.maxWorkers": 4, "models.0.scaling": {"minReplicas": 5}}}),
    bad("GPUCeilingTooLow", "maxGPUs", "raise maxGPUs to 2", PORTFOLIO, "maxGPUs", 1),
    bad("GPUCeilingTooLow", "maxGPUs", "take 7 GPUs (7 x 1 in pool l4): raise maxGPUs to 7", PORTFOLIO, "pools.0.minWorkers", 7),
    bad("QueueHidden", "models[general].scaling.targetOngoingRequests", "at most 16", PORTFOLIO, "models.0.scaling.targetOngoingRequests", 17),
    bad("NotCleared", "defaultLadder", "add pii to clearances of general or frontier", PORTFOLIO, "models.0.clearances", []),
    bad("NotCleared", "intents[facts].ladder", "in eu-west", PORTFOLIO, "region", "us"),
    bad("NotCleared", "classifier", "reads every question", PORTFOLIO, "models.3.clearances", []),
]  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=lambda case: f"{case.reason}-{case.where}")
def test_a_wrong_field_is_named_with_its_reason_and_the_fix(case: Bad):
    found = [failure for failure in checks.failures(desk(case.edits)) if failure.where.endswith(case.where)]

    assert [failure.reason for failure in found[:1]] == [case.reason], checks.failures(desk(case.edits))
    assert any(case.fix in failure.message for failure in found), found


def test_the_portfolio_itself_passes_every_check():
    assert checks.failures(desk()) == ()
    assert checks.first_failure(desk()) is None


def test_what_one_stage_finds_is_said_at_once():
    found = checks.failures(desk({PORTFOLIO: {"audit": STORE, "models.6": {"name": "ghost"}}}))

    assert [failure.reason for failure in found] == ["NotSupported", "ModelNotFound"]
    assert checks.first_failure(desk({PORTFOLIO: {"audit": STORE}})) == found[0]


def test_a_missing_secret_and_a_missing_key_are_two_messages():
    assert _reasons(desk(secrets={})) == [
        ("SecretNotFound", "there is no Secret frontier in namespace bank: create it")
    ]
    assert _reasons(desk(secrets={"frontier": frozenset({"api"})})) == [
        ("SecretNotFound", "Secret frontier has no key token: add it (there is: api)")
    ]
    assert _reasons(desk(secrets={"frontier": frozenset({"token"})})) == []


def test_an_embedder_must_be_cleared_for_what_its_retriever_may_see():
    edits = {
        PORTFOLIO: {"models.3.clearances": []},
        POLICY: {"classifier": {"type": "NGram"}, "intents.2": REMOVED},
    }

    (failure,) = checks.failures(desk(edits))
    assert failure.reason == "NotCleared"
    assert failure.where.endswith("models[minilm].clearances")


def test_a_base_must_be_cleared_for_what_its_adapter_may_see():
    edits = {
        PORTFOLIO: {"models.0.clearances": [], "models.5.clearances": ["pii"], "dataClasses.0.regions": []}
    }

    (failure,) = checks.failures(desk(edits))
    assert failure.where.endswith("models[general].clearances")


TARGET: Edits = {
    POLICY: {
        "artifact": {"uri": "volume://models/router", "sha256": "a" * 64},
        "defaultLadder.0.accept": {"signal": "MeanLogprob", "target": {"maxErrorRate": "0.05"}},
    }
}


@pytest.mark.parametrize(
    ("promised", "sure", "accepted"),
    [(0.05, 0.90, True), (0.04, 0.95, True), (0.06, 0.90, False), (0.05, 0.80, False)],
)
def test_a_target_needs_a_certificate_at_least_as_strict(promised: float, sure: float, accepted: bool):
    portfolio = desk(TARGET)
    general = portfolio.member("general")
    assert general is not None
    held = Certificate(identity(portfolio, general), "", "MeanLogprob", promised, sure)

    found = checks.failures(replace(portfolio, certificates=(held,)))

    assert [failure.reason for failure in found] == ([] if accepted else ["TargetNotCertified"])


def test_a_target_is_not_judged_where_nobody_could_read_the_artifact():
    assert checks.failures(desk(TARGET)) == ()


def test_a_table_above_its_limit_is_refused():
    examples = [[f"{number:03}" * 170 for number in range(n, n + 64)] for n in range(0, 64 * 9, 64)]
    intents = [
        {"name": f"i{n}", "matchAny": {"examples": each}, "ladder": [{"model": "general"}]}
        for n, each in enumerate(examples)
    ]

    (failure,) = checks.failures(desk({POLICY: {"intents": intents}}))

    assert failure.reason == "TableTooLarge"


def test_every_reason_has_a_portfolio_that_gives_it():
    elsewhere = {"SecretNotFound", "TenantKeyInvalid", "TargetNotCertified", "TableTooLarge"}
    elsewhere |= {"RemoteCodeNotAllowed", "HostNotAllowed", "FileNotAllowed"}  # test_allowed.py

    assert {case.reason for case in BAD} | elsewhere == set(REASONS)


def test_every_engine_with_files_tells_where_they_come_from():
    fields = {field for member in desk().members for field, _ in source_uris(member.model.spec)}

    assert fields == {"vllm.source.uri", "adapter.source.uri", "encoder.source.uri", "retriever.lancedb.uri"}


def _reasons(portfolio: Any) -> list[tuple[str, str]]:
    return [(failure.reason, failure.message) for failure in checks.failures(portfolio)]

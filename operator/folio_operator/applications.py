"""Which Serve application answers for a model, and with what arguments.

A model that is updated by BlueGreen is served by an application named by the digest of all that would restart
it: its next version is then another application, and both can stand side by side.
"""

from __future__ import annotations

import hashlib
import json

from folio_api import spec as contract
from folio_api.model import Source
from folio_operator import effective
from folio_operator.identity import identity
from folio_operator.world import Member, Portfolio

DIGITS = 8
SEPARATOR = "_"
"""No name of a model has one."""


def application(portfolio: Portfolio, member: Member) -> str:
    name = f"model-{member.name}"
    if member.entry.update_strategy.type != "BlueGreen":
        return name
    restarts = [model_spec(portfolio, member).model_dump(mode="json"), member.entry.pool]
    digest = hashlib.sha256(json.dumps(restarts, sort_keys=True).encode()).hexdigest()
    return f"{name}{SEPARATOR}{digest[:DIGITS]}"


def model_spec(portfolio: Portfolio, member: Member, *, nonce: str = "") -> contract.ModelSpec:
    """Return a model application's arguments: its identity, any change of which restarts its replicas."""
    spec = member.model.spec
    vllm, encoder = spec.vllm, spec.encoder
    return contract.ModelSpec(
        name=member.name,
        engine=member.engine,
        identity=identity(portfolio, member),
        source=_source(vllm.source if vllm else encoder.source if encoder else None),
        tasks=effective.tasks(portfolio, member),
        features=effective.features(portfolio, member),
        context_tokens=effective.context_tokens(portfolio, member),
        engine_args=dict(vllm.engine_args) if vllm else {},
        gpus=effective.gpus(member),
        gpu_fraction=float(vllm.gpu_fraction) if vllm and vllm.gpu_fraction is not None else None,
        cpus=effective.cpus(member),
        lora=contract.LoRASlots(max_adapters=vllm.lora.max_adapters, max_rank=vllm.lora.max_rank)
        if vllm and vllm.lora
        else None,
        encoder=contract.EncoderSpec(type=encoder.type) if encoder else None,
        retriever=_retriever(portfolio, member),
        nonce=nonce,
    )


def _retriever(portfolio: Portfolio, member: Member) -> contract.RetrieverSpec | None:
    retriever = member.model.spec.retriever
    if retriever is None:
        return None
    embedder = portfolio.embedder(member)
    assert retriever.lancedb is not None
    assert embedder is not None
    return contract.RetrieverSpec(
        lancedb_uri=retriever.lancedb.uri,
        embedder_application=application(portfolio, embedder),
        top_k=retriever.top_k,
        answer=retriever.answer,
    )


def _source(source: Source | None) -> contract.Source | None:
    return contract.Source(uri=source.uri, revision=source.revision) if source else None

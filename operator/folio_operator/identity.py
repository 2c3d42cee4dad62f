"""What answers under a model's name, as a digest: calibrations belong to it, and replicas restart when it
changes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from folio_api.model import Source
from folio_operator.world import Member, Portfolio

DIGITS = 16


def identity(portfolio: Portfolio, member: Member) -> str:
    """Return the digest of source, revision and engine arguments; of the base's too where there is one."""
    text = json.dumps([member.engine, _content(portfolio, member)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _content(portfolio: Portfolio, member: Member) -> dict[str, Any]:
    spec = member.model.spec
    if spec.vllm is not None:
        return {"source": _files(spec.vllm.source), "engine_args": dict(spec.vllm.engine_args)}
    if spec.adapter is not None:
        return {
            "source": _files(spec.adapter.source),
            "base": _identity_of(portfolio, portfolio.base(member)),
        }
    if spec.encoder is not None:
        return {"type": spec.encoder.type, "source": _files(spec.encoder.source)}
    if spec.retriever is not None:
        store = spec.retriever.lancedb.uri if spec.retriever.lancedb else None
        embedder = _identity_of(portfolio, portfolio.embedder(member))
        return {"lancedb": store, "top_k": spec.retriever.top_k, "embedder": embedder}
    assert spec.external is not None
    return {"base_url": spec.external.base_url, "model": spec.external.model}


def _files(source: Source | None) -> list[str | None]:
    return [source.uri, source.revision] if source else []


def _identity_of(portfolio: Portfolio, member: Member | None) -> str:
    return identity(portfolio, member) if member else ""

"""What served last and was accepted, kept by the API server.

After an invalid edit, a restart, a deleted policy or a lost head, the last good revision is rendered from
here and not from what people wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from folio_api.meta import ObjectMeta
from folio_api.model import SpecialistModel
from folio_api.parse import parse
from folio_api.policy import RoutingPolicy
from folio_api.portfolio import ModelPortfolio
from folio_operator.children import ROTATE, Manifest, metadata
from folio_operator.cluster import REVISION, Body
from folio_operator.drift import digest
from folio_operator.world import Portfolio

INPUTS_LABEL = "folio.dev/inputs"


def inputs_digest(portfolio: Portfolio) -> str:
    """Return the digest of all that a portfolio is rendered from."""
    return digest(_data(portfolio))


def revision(portfolio: Portfolio, kept: Iterable[Body]) -> Manifest:
    """Return the ControllerRevision of an accepted portfolio, newer than all that are kept.

    Inputs that served before have their old one, raised to be the newest; its data never changes.
    """
    inputs = inputs_digest(portfolio)
    others = [each for each in kept if each["metadata"]["labels"].get(INPUTS_LABEL) != inputs]
    mine = [each for each in kept if each not in others]
    highest = max((int(each["revision"]) for each in others), default=0)
    number = max((int(each["revision"]) for each in mine), default=0)
    described = metadata(portfolio, f"{portfolio.key.name}-{inputs}")
    return {
        "apiVersion": REVISION.api_version,
        "kind": REVISION.name,
        "metadata": {**described, "labels": {**described["labels"], INPUTS_LABEL: inputs}},
        "data": _data(portfolio),
        "revision": number if number > highest else highest + 1,
    }


def newest(kept: Iterable[Body]) -> Body | None:
    return max(kept, key=lambda each: int(each["revision"]), default=None)


def is_of(kept: Body, portfolio: Portfolio) -> bool:
    """Return whether the revision keeps these very inputs."""
    return bool(kept["metadata"]["labels"].get(INPUTS_LABEL) == inputs_digest(portfolio))


def outlived(kept: Iterable[Body], limit: int) -> tuple[Body, ...]:
    """Return the revisions beyond the newest `limit`."""
    return tuple(sorted(kept, key=lambda each: -int(each["revision"]))[limit:])


def restored(portfolio: Portfolio, kept: Body | None) -> Portfolio | None:
    """Return the portfolio as the kept revision has it, under the metadata that it has now.

    None where nothing is kept, or an older version of Folio kept what this one cannot read.
    """
    data: Mapping[str, Any] | None = (kept or {}).get("data")
    documents = [parse(each).resource for each in (data or {}).get("objects", ())]
    policies = [each for each in documents if isinstance(each, RoutingPolicy)]
    portfolios = [each for each in documents if isinstance(each, ModelPortfolio)]
    models = {each.key.name: each for each in documents if isinstance(each, SpecialistModel)}
    if None in documents or not policies or not portfolios:
        return None
    resource = portfolios[0].model_copy(update={"metadata": _metadata(portfolio, portfolios[0])})
    return replace(portfolio, resource=resource, policy=policies[0], specialists=models)


def _metadata(now: Portfolio, kept: ModelPortfolio) -> ObjectMeta:
    """Return the metadata that the portfolio has now, but for the annotation that is part of its inputs."""
    notes = {key: value for key, value in now.resource.metadata.annotations.items() if key != ROTATE}
    return now.resource.metadata.model_copy(update={"annotations": {**notes, **kept.metadata.annotations}})


def _data(portfolio: Portfolio) -> Manifest:
    """Return what people wrote, as far as this portfolio is made of it."""
    assert portfolio.policy is not None
    models = {member.model.key.name: member.model for member in portfolio.members}
    objects = [_written(portfolio.resource), _written(portfolio.policy)]
    return {"objects": [*objects, *(_written(models[name]) for name in sorted(models))]}


def _written(resource: ModelPortfolio | RoutingPolicy | SpecialistModel) -> Manifest:
    spec = resource.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    name: Manifest = {"name": resource.key.name, "namespace": resource.key.namespace}
    if ROTATE in resource.metadata.annotations:
        name["annotations"] = {ROTATE: resource.metadata.annotations[ROTATE]}
    return {
        "apiVersion": resource.api_version,
        "kind": type(resource).__name__,
        "metadata": name,
        "spec": spec,
    }

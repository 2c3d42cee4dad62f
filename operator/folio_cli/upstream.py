"""`--upstream URL`: another portfolio, or any OpenAI-compatible model, as the last rung of every ladder."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import httpx

from folio_api.meta import ObjectMeta, SecretKeyRef, SecretValue
from folio_api.model import Cost, External, SpecialistModel, SpecialistModelSpec, TokenPrices
from folio_api.policy import Accept, RoutingPolicy, Rung
from folio_api.pools import PortfolioModel
from folio_cli.exits import UsageProblem
from folio_operator.checks.fit import answers
from folio_operator.world import Portfolio

NAME = "upstream"
KEY = "api-key"
LONGEST_LADDER = 8
LISTING_SECONDS = 10.0
NAMES_SHOWN = 8


@dataclass(frozen=True)
class Upstream:
    """Where it is, and what it costs."""

    url: str
    model: str = "folio"
    usd_per_million_input: Decimal = Decimal(0)
    usd_per_million_output: Decimal = Decimal(0)
    key: str | None = field(default=None, repr=False)
    """What FOLIO_SECRET_UPSTREAM_API_KEY holds."""


def with_upstream(portfolio: Portfolio, upstream: Upstream) -> Portfolio:
    """Return the portfolio with the upstream below every ladder that answers chat."""
    spec = portfolio.resource.spec
    if any(entry.name == NAME for entry in spec.models):
        raise UsageProblem(
            f"the portfolio has a model {NAME} already", ["rename it, or leave out --upstream"]
        )
    models = (*spec.models, PortfolioModel(name=NAME))
    resource = portfolio.resource.model_copy(update={"spec": spec.model_copy(update={"models": models})})
    specialists = {**portfolio.specialists, NAME: _model(portfolio, upstream)}
    policy = _policy(portfolio, portfolio.policy) if portfolio.policy else None
    return replace(portfolio, resource=resource, policy=policy, specialists=specialists)


def insist_on_answer(upstream: Upstream) -> None:
    """Raise UsageProblem unless the upstream lists the model: without it every ladder would end at a rung
    that never answers, and nobody would be told.
    """
    names = _listed(upstream)
    if names and upstream.model not in names:
        some = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
        fix = f"name one of its models with --upstream-model: {some}"
        raise UsageProblem(f"--upstream {upstream.url} has no model {upstream.model}", [fix])


def _listed(upstream: Upstream) -> list[str]:
    """Return the names that the upstream lists, asked as the gateway asks it: without a proxy."""
    url = f"{upstream.url.rstrip('/')}/models"
    key = {"authorization": f"Bearer {upstream.key}"} if upstream.key is not None else {}
    verify = ssl.create_default_context()
    try:
        answer = httpx.get(url, headers=key, timeout=LISTING_SECONDS, trust_env=False, verify=verify)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = str(error) or type(error).__name__
        fix = "start what serves there, or correct the URL"
        raise UsageProblem(f"--upstream {upstream.url} does not answer: {why}", [fix]) from error
    if answer.status_code in (401, 403):
        fix = "export its key as FOLIO_SECRET_UPSTREAM_API_KEY"
        raise UsageProblem(f"--upstream {upstream.url} says {answer.status_code} to our key", [fix])
    names = _names(answer)
    if names is None:
        fix = "write the URL up to and with /v1: its /models must list models as OpenAI's does"
        raise UsageProblem(f"--upstream {url} lists no models: it says {answer.status_code}", [fix])
    return names


def _names(answer: httpx.Response) -> list[str] | None:
    """Return the names in OpenAI's list of models; None where it is no such list."""
    try:
        listed: list[dict[str, Any]] = answer.raise_for_status().json()["data"]
        return [str(each["id"]) for each in listed]
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return None


def _model(portfolio: Portfolio, upstream: Upstream) -> SpecialistModel:
    key = SecretValue(secret_key_ref=SecretKeyRef(name=NAME, key=KEY)) if upstream.key is not None else None
    prices = TokenPrices(input=upstream.usd_per_million_input, output=upstream.usd_per_million_output)
    return SpecialistModel(
        api_version="folio.dev/v1alpha1",
        metadata=ObjectMeta(name=NAME, namespace=portfolio.key.namespace),
        spec=SpecialistModelSpec(
            external=External(base_url=upstream.url, model=upstream.model, api_key=key),
            cost=Cost(per_million_tokens=prices),
        ),
    )


def _policy(portfolio: Portfolio, policy: RoutingPolicy) -> RoutingPolicy:
    intents = tuple(
        intent.model_copy(update={"ladder": _extended(portfolio, intent.ladder)})
        for intent in policy.spec.intents
    )
    ladder = _extended(portfolio, policy.spec.default_ladder)
    spec = policy.spec.model_copy(update={"intents": intents, "default_ladder": ladder})
    return policy.model_copy(update={"spec": spec})


def _extended(portfolio: Portfolio, ladder: tuple[Rung, ...]) -> tuple[Rung, ...]:
    """Return the ladder with the upstream below; where the last rung took every answer, it only stands in."""
    members = [member for rung in ladder if (member := portfolio.member(rung.model))]
    chats = all("Chat" in answers(portfolio, member) for member in members)
    if not chats or len(ladder) >= LONGEST_LADDER:
        return ladder
    last = ladder[-1]
    sure = last if last.accept else last.model_copy(update={"accept": Accept(signal="Always")})
    return (*ladder[:-1], sure, Rung(model=NAME))

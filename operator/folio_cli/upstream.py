"""`--upstream URL`: another portfolio, or any OpenAI-compatible model, as the last rung of every ladder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

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


@dataclass(frozen=True)
class Upstream:
    """Where it is, and what it costs."""

    url: str
    model: str = "folio"
    usd_per_million_input: Decimal = Decimal(0)
    usd_per_million_output: Decimal = Decimal(0)
    has_key: bool = False
    """Whether FOLIO_SECRET_UPSTREAM_API_KEY holds a key for it."""


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


def _model(portfolio: Portfolio, upstream: Upstream) -> SpecialistModel:
    key = SecretValue(secret_key_ref=SecretKeyRef(name=NAME, key=KEY)) if upstream.has_key else None
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

"""How a message names the place of a fault."""

from __future__ import annotations

from folio_api.pools import PortfolioModel
from folio_operator.world import Member, Portfolio


def in_portfolio(portfolio: Portfolio, field: str) -> str:
    return f"ModelPortfolio/{portfolio.key.name} spec.{field}"


def in_entry(portfolio: Portfolio, entry: PortfolioModel, field: str = "") -> str:
    return in_portfolio(portfolio, f"models[{entry.name}]{'.' if field else ''}{field}")


def in_model(member: Member, field: str) -> str:
    return f"SpecialistModel/{member.entry.specialist} spec.{field}"


def in_policy(portfolio: Portfolio, field: str) -> str:
    return f"RoutingPolicy/{portfolio.resource.spec.policy_ref.name} spec.{field}"
